// Questions to the server. An answer is JSON; a refusal says what was given, what was expected, and the likely fix.
export class Refused extends Error {
  constructor({ given, expected, fix }) {
    super(`${given}: ${expected}${fix ? `; ${fix}` : ""}`);
  }
}

export async function ask(command, params, signal) {
  const query = new URLSearchParams(params);
  const long = query.toString().length > 4000;
  let answer;
  try {
    answer = long
      ? await fetch(`/api/${command}`, { method: "POST", body: JSON.stringify(grouped(query)), signal })
      : await fetch(`/api/${command}?${query}`, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused({ given: "the server", expected: "an answer", fix: "is `ridgeline web` still running?" });
  }
  const body = await answer.json();
  if (!answer.ok) throw new Refused(body.error);
  return body;
}

function grouped(query) {
  const out = {};
  for (const [name, value] of query) (out[name] ??= []).push(value);
  return out;
}

// Only the newest question is answered: one is on its way, the latest waits, those between are dropped.
export function latest(work) {
  let running = null, next = null;
  return async function run(...args) {
    next = args;
    if (running) return running;
    running = (async () => {
      while (next) {
        const now = next;
        next = null;
        await work(...now);
      }
    })();
    try { await running; } finally { running = null; }
  };
}
