// HTTP client for the service's API.

/** A failed call, with a message for the user. `code` is the service's error code, or `unreachable`, `answered`. */
class ApiError extends Error {
  constructor(message, { status = 0, code = "unreachable", field, count, line, retryAfter = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, field, count, line, retryAfter });
  }
}

// What this tab knows of the service: the user, the newest version seen of that user's data, and the offset of the
// service's clock from this device's in milliseconds.
const server = { user: null, version: 0, clockOffset: 0 };

/** Session storage, which survives a reload of the tab. Best effort: a browser may deny access. */
const tab = {
  get(name) {
    try {
      return JSON.parse(sessionStorage.getItem(name));
    } catch {
      return null;
    }
  },
  /** Returns whether it is kept: the quota may be exceeded, or access denied. */
  set(name, value) {
    try {
      sessionStorage.setItem(name, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  },
  forget(name) {
    try {
      if (name) sessionStorage.removeItem(name);
      else sessionStorage.clear();
    } catch {
      // Access is denied, so nothing was stored.
    }
  },
};

const SERVER_KEY = "codex-heard";
const before = tab.get(SERVER_KEY);
if (Number.isSafeInteger(before?.version)) Object.assign(server, { user: before.user, version: before.version });

/** Resets the version when the user changes: versions are per user. */
function noteUser(user, version) {
  if (server.user !== user) Object.assign(server, { user, version });
  tab.set(SERVER_KEY, { user: server.user, version: server.version });
}

function noteHeaders(headers) {
  const version = Number(headers.get("x-codex-version"));
  if (version > server.version) server.version = version;
  const date = Date.parse(headers.get("date"));
  if (date) server.clockOffset = date - Date.now();
}

/** The service's clock, in milliseconds. */
const serverNow = () => Date.now() + server.clockOffset;

// Timeouts (ms) after which the service counts as unreachable. The hosting platform's front end gives up after 230 s.
const READ_TIMEOUT = 30_000;
const WRITE_TIMEOUT = 230_000;

/**
 * Sends a request. Returns `{headers, json}` for 2xx, `{headers}` for 304; throws `ApiError` otherwise.
 * With `keepalive` it is sent even if the page is left. Reads set `max-age=0`, because browsers add `no-cache` to conditional requests, which would request a strong read.
 */
async function request(method, path, { json, headers = {}, keepalive = false } = {}) {
  const sent = { Accept: "application/json", ...headers };
  if (method === "GET") sent["Cache-Control"] ??= "max-age=0";
  if (server.version) sent["x-codex-version"] = String(server.version);
  if (json !== undefined) sent["Content-Type"] = "application/json";
  const body = typeof json === "string" ? json : json && JSON.stringify(json);
  const signal = AbortSignal.timeout(method === "GET" ? READ_TIMEOUT : WRITE_TIMEOUT);
  let response;
  try {
    const how = { method, headers: sent, body, signal, keepalive, cache: "no-store", redirect: "manual" };
    response = await fetch(path, how);
  } catch {
    const changes = method !== "GET" && path !== "/api/preview";
    throw new ApiError(changes ? words.unsure : words.unreachable);
  }
  // The hosting platform redirects to its own sign-in.
  if (response.type === "opaqueredirect") throw new ApiError(words.signedOut, { status: 401, code: "not_signed_in" });
  noteHeaders(response.headers);
  if (response.status === 304) return { headers: response.headers };
  const result = await jsonOf(response);
  if (!response.ok || !result) throw apiErrorOf(response, result);
  return { headers: response.headers, json: result };
}

/** The body; `null` if it isn't JSON, as with error pages of a proxy. */
async function jsonOf(response) {
  if (!response.headers.get("content-type")?.startsWith("application/json")) return null;
  try {
    return await response.json();
  } catch {
    return null;
  }
}

function apiErrorOf(response, json) {
  const { status } = response;
  const retryAfter = Number(response.headers.get("retry-after")) || 0;
  if (!json?.code) {
    const known = status === 401 ? words.signedOut : status === 429 ? words.refusal.too_many_requests : undefined;
    const message = [known ?? words.answered(status), retryAfter && words.retryAfter(retryAfter)];
    return new ApiError(message.filter(Boolean).join(" "), { status, code: "answered", retryAfter });
  }
  const { code, field, count, line, requestId } = json;
  const message = [
    words.fieldRefused[field] ?? words.refusal[code] ?? json.error,
    line && `(${words.line(line)})`,
    retryAfter && status === 429 && words.retryAfter(retryAfter),
    requestId && words.reference(requestId),
  ];
  return new ApiError(message.filter(Boolean).join(" "), { status, code, field, count, line, retryAfter });
}

/** The response to the page's `<link rel="preload">` of the week, which starts before the script is loaded. */
let preload = fetch("/codex").catch(() => null);

/** The preloaded response, once; `null` if it can't be shown: the caller's own request then reports the error. */
async function takePreload() {
  const response = await preload;
  preload = null;
  if (!response?.ok || Number(response.headers.get("x-codex-version")) < server.version) return null;
  const json = await jsonOf(response);
  if (!json) return null;
  noteHeaders(response.headers);
  return { headers: response.headers, json };
}

// --- Task names and URLs ---

/** The file name without `.md`. It is unique, whereas two files may have the same number. */
const stemOf = (file) => file.slice(file.lastIndexOf("/") + 1).replace(/\.md$/, "");
const pathOf = (stem) => `/api/tasks/${encodeURIComponent(stem)}`;
const routeTo = (view, stem) => `#/${view}/${encodeURIComponent(stem)}`;
