// Questions to the server. An answer is JSON; a refusal says what was given, what was expected, and the likely fix.
export class Refused extends Error {
  constructor({ given, expected, fix }) {
    super(`${given}: ${expected}${fix ? `; ${fix}` : ""}`);
  }
}

// With `told`, the question is answered by events: each {share, sofar} as it comes, then the answer.
export async function ask(command, params, signal, told) {
  const query = new URLSearchParams(params);
  const long = query.toString().length > 4000;
  const how = { signal, ...(told ? { headers: { accept: "text/event-stream" } } : {}) };
  try {
    const answer = long
      ? await fetch(`/api/${command}`, { method: "POST", body: JSON.stringify(grouped(query)), ...how })
      : await fetch(`/api/${command}?${query}`, how);
    const body = answer.headers.get("content-type")?.startsWith("text/event-stream") ? await last(answer, told) : await answer.json();
    if (body.error) throw new Refused(body.error);
    return body;
  } catch (error) {
    if (error.name === "AbortError" || error instanceof Refused) throw error;
    throw new Refused({ given: "the server", expected: "an answer", fix: "is `ridgeline web` still running?" });
  }
}

// The last event of a stream, which ends with a blank line; those before it are told.
async function last(answer, told) {
  let text = "", found = null;
  for (const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
    const { value, done } = await reader.read();
    if (done) break;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const [, kind, data] of events.map((event) => /^event: (\w+)\ndata: (.*)$/.exec(event))) {
      if (kind === "progress") told(JSON.parse(data));
      else found = JSON.parse(data);
    }
  }
  return found;
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
