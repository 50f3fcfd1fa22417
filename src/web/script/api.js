// Talking to the service.

/** Why something wasn't done, for people. `code` is the service's, or `unreachable`, `answered`. */
class Refusal extends Error {
  constructor(message, { status = 0, code = "unreachable", field, count, line, retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, field, count, line, retryAfter });
  }
}

// What the service was last heard saying, as long as this tab lives: the newest version of this user's data,
// and how far its clock is ahead of this device's, in milliseconds.
const heard = { user: null, version: 0, ahead: 0 };

/** What this tab keeps when it is loaded again. A browser may refuse to keep anything; then it isn't kept. */
const tab = {
  get(name) {
    try {
      return JSON.parse(sessionStorage.getItem(name));
    } catch {
      return null;
    }
  },
  set(name, value) {
    try {
      sessionStorage.setItem(name, JSON.stringify(value));
    } catch {
      // It is full, or it may not.
    }
  },
  forget(name) {
    try {
      if (name) sessionStorage.removeItem(name);
      else sessionStorage.clear();
    } catch {
      // There was nothing.
    }
  },
};

const HEARD = "codex-heard";
const before = tab.get(HEARD);
if (Number.isSafeInteger(before?.version)) Object.assign(heard, { user: before.user, version: before.version });

/** Versions count for one user only. */
function hearUser(user, version) {
  if (heard.user !== user) Object.assign(heard, { user, version });
  tab.set(HEARD, { user: heard.user, version: heard.version });
}

function hear(headers) {
  const version = Number(headers.get("x-codex-version"));
  if (version > heard.version) heard.version = version;
  const date = Date.parse(headers.get("date"));
  if (date) heard.ahead = date - Date.now();
}

/** The service's clock, in milliseconds. */
const serverNow = () => Date.now() + heard.ahead;

// How long (ms) an answer may take before the service counts as unreachable. A platform in front gives up after 230 s.
const READ_PATIENCE = 30_000;
const CHANGE_PATIENCE = 230_000;

/**
 * Sends a request; gives `{headers, json}` of a success or a 304, throws a `Refusal` of everything else.
 * Reads say `max-age=0`, because browsers add `no-cache` to conditional requests, which would be a strict read.
 */
async function ask(method, path, { json, headers = {} } = {}) {
  const sent = { Accept: "application/json", ...headers };
  if (method === "GET") sent["Cache-Control"] ??= "max-age=0";
  if (heard.version) sent["x-codex-version"] = String(heard.version);
  if (json !== undefined) sent["Content-Type"] = "application/json";
  const body = typeof json === "string" ? json : json && JSON.stringify(json);
  const signal = AbortSignal.timeout(method === "GET" ? READ_PATIENCE : CHANGE_PATIENCE);
  let answer;
  try {
    answer = await fetch(path, { method, headers: sent, body, signal, cache: "no-store", redirect: "manual" });
  } catch {
    throw new Refusal(method === "GET" ? words.unreachable : words.unsure);
  }
  // A platform in front that sends to its own sign-in.
  if (answer.type === "opaqueredirect") throw new Refusal(words.signedOut, { status: 401, code: "not_signed_in" });
  hear(answer.headers);
  if (answer.status === 304) return { headers: answer.headers };
  const said = await jsonOf(answer);
  if (!answer.ok || !said) throw refusalOf(answer, said);
  return { headers: answer.headers, json: said };
}

/** `null` for what isn't JSON: hosts have answers of their own. */
async function jsonOf(answer) {
  if (!answer.headers.get("content-type")?.startsWith("application/json")) return null;
  try {
    return await answer.json();
  } catch {
    return null;
  }
}

function refusalOf(answer, json) {
  const { status } = answer;
  const retryAfter = Number(answer.headers.get("retry-after")) || 0;
  if (!json?.code) {
    const said = status === 401 ? words.signedOut : status === 429 ? words.refusal.too_many_requests : undefined;
    const message = [said ?? words.answered(status), retryAfter && words.retryAfter(retryAfter)];
    return new Refusal(message.filter(Boolean).join(" "), { status, code: "answered", retryAfter });
  }
  const { code, field, count, line, requestId } = json;
  const message = [
    words.fieldRefused[field] ?? words.refusal[code] ?? json.error,
    line && `(${words.line(line)})`,
    retryAfter && status === 429 && words.retryAfter(retryAfter),
    requestId && words.reference(requestId),
  ];
  return new Refusal(message.filter(Boolean).join(" "), { status, code, field, count, line, retryAfter });
}

/** The page asks for the week before its script is there; this takes up that answer. */
let early = fetch("/codex").catch(() => null);

/** The first answer, once; nothing when it isn't one to show: then it is asked for again, and what is wrong is said. */
async function earlyAnswer() {
  const answer = await early;
  early = null;
  if (!answer?.ok || Number(answer.headers.get("x-codex-version")) < heard.version) return null;
  const json = await jsonOf(answer);
  if (!json) return null;
  hear(answer.headers);
  return { headers: answer.headers, json };
}

// --- What names a task ---

/** The file's stem names a task for certain, where its number may be another's, too. */
const stemOf = (file) => file.slice(file.lastIndexOf("/") + 1).replace(/\.md$/, "");
const pathOf = (stem) => `/api/tasks/${encodeURIComponent(stem)}`;
const placeOf = (view, stem) => `#/${view}/${encodeURIComponent(stem)}`;
