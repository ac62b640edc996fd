// What a page shows is the query of its address: fields by name, and up to four pinned scenarios as `pin`.
export const PINS = 4;

export function read(fields) {
  const query = new URLSearchParams(location.search), state = {};
  for (const field of fields) state[field.name] = query.get(field.name) ?? field.value ?? "";
  return { state, pins: query.getAll("pin").slice(0, PINS) };
}

export function written(fields, state, pins = []) {
  const query = new URLSearchParams();
  for (const { name, value = "" } of fields) if (state[name] !== value) query.set(name, state[name]);
  for (const pin of pins) query.append("pin", pin);
  return query.toString();
}

export function unpinned(fields, pin) {
  const query = new URLSearchParams(pin), state = {};
  for (const { name, value = "" } of fields) state[name] = query.get(name) ?? value;
  return state;
}

// The address follows a moving slider only when it rests: browsers count how often it is changed.
let rest = 0;
export function keep(query, moving = false) {
  const address = location.pathname + (query ? `?${query}` : ""), path = location.pathname;
  clearTimeout(rest);
  if (moving) rest = setTimeout(() => { if (location.pathname === path) keep(query); }, 150);
  else if (address !== location.pathname + location.search) history.replaceState(null, "", address);
}

// Sparsity and the size of the domain are values of the system and the model that `set` changes.
export function asked(fields, state) {
  const params = {}, sets = [];
  for (const { name, path, local } of fields) {
    const value = String(state[name] ?? "").trim();
    if (!value || local) continue;
    if (path) sets.push(`${path}=${value}`);
    else if (name === "set") sets.push(value);
    else params[name] = value;
  }
  if (sets.length) params.set = sets.join(",");
  return params;
}
