// The signed-in account, and the user's data cached on this device.

// The other tabs of this browser.
const tabs = new BroadcastChannel("codex");
tabs.onmessage = ({ data }) => {
  if (data !== "signed-out") return refresh();
  // This tab's worker may have been registering when the other tab unregistered all workers.
  clearLocalData().catch(() => {});
  showSignedOut();
};

const SIGN_IN_TRIED = "codex-sign-in-tried";
const SIGN_IN_RETRY_WINDOW = 60_000; // A 401 so soon (ms) after a sign-in attempt means that the attempt didn't work.

/** Returns whether it could be noted. */
const noteTry = () => tab.set(SIGN_IN_TRIED, Date.now());
const signInUrl = () => `/login?return_to=${encodeURIComponent(location.pathname + location.hash)}`;

/** Somebody else has signed in, in another tab. What was being typed stays under the name of who typed it. */
function leaveUser() {
  saveDraft();
  forgetRemovals();
  form = null;
  state.generation += 1;
  Object.assign(state, { found: null, elsewhere: null, done: { count: 0 }, me: null });
  state.pending.clear();
  stopMoving();
  dropHold();
  clearMessages();
  if (dialog.open) replaceRoute("#/");
  emptyDialog();
}

/** Redirects to the sign-in, which returns to this URL. A form's draft survives. */
function signIn() {
  saveDraft();
  noteTry();
  location.assign(signInUrl());
}

/**
 * Resets the state after a 401 or a sign-out. Whose week this device has kept is redirected to the sign-in when the page
 * loads, unless that just didn't work; anybody else is told first what this is.
 */
async function showSignedOut() {
  const tried = Date.now() - tab.get(SIGN_IN_TRIED) < SIGN_IN_RETRY_WINDOW;
  const arriving = !state.week && !state.signedOut && (await cachedWeek().catch(() => null)) !== null;
  state.generation += 1;
  const isDropped = forgetRemovals();
  state.pending.clear();
  stopMoving();
  dropHold();
  clearMessages();
  if (isDropped) showError(words.notRemoved);
  const nothing = { week: null, etag: null, layer: null, found: null, elsewhere: null, done: { count: 0 }, me: null };
  Object.assign(state, nothing, { signedOut: true });
  // Where it can't be noted, each load would try again.
  if (arriving && !tried && noteTry()) return signIn();
  state.tried = tried;
  hide();
  emptyDialog();
  render();
}

const signedOutView = () =>
  el(
    "div",
    { className: "empty" },
    el("h1", {}, "CodexMiroir"),
    el("p", {}, words.whatThisIs),
    el("p", { role: "status" }, state.tried ? words.signInFailed : words.signedOut),
    signInLink(),
  );

const signInLink = () =>
  el(
    "a",
    { className: "button main", href: signInUrl(), onclick: noteTry },
    words.signIn,
  );

async function signOut() {
  try {
    await Promise.all([sendRemovals(), lastMoves]);
    const { json } = await request("POST", "/auth/logout");
    tabs.postMessage("signed-out");
    await clearLocalData();
    if (json.next) return location.assign(json.next);
    showSignedOut();
    history.replaceState(history.state, "", "#/");
  } catch (error) {
    handleError(error);
  }
}

async function loadAccount() {
  const { generation } = state;
  try {
    const { json } = await request("GET", "/auth/me");
    if (generation !== state.generation) return;
    state.me = json;
    renderFooter();
  } catch {
    // The request for the week reports the error.
  }
}

function renderFooter() {
  const account = document.querySelector("#account");
  const { me, week, layer } = state;
  // In dev mode there is only one user, and no sign-out.
  const login = me && me.auth !== "dev" ? me.login : "";
  // Drawn only when it changes: a click on a button that is replaced meanwhile is lost.
  if (account.dataset.login !== login) {
    account.dataset.login = login;
    fill(
      account,
      login && el("span", { title: words.signedInAs(login) }, login),
      login && el("button", { type: "button", onclick: signOut, "data-key": "sign out" }, words.signOut),
    );
  }
  const asOf = document.querySelector("#as-of");
  asOf.hidden = !week || state.signedOut;
  const text = week && words.asOf(momentName(week.generatedAt), words.layer[layer] ?? layer);
  if (!asOf.hidden && asOf.textContent !== text) asOf.textContent = text;
}

document.querySelector("#as-of").addEventListener("click", async ({ currentTarget }) => {
  currentTarget.ariaBusy = "true";
  await refresh({ anew: true });
  currentTarget.ariaBusy = "false";
});

// --- Offline cache: the last week of the last user ---

const CACHE_PREFIX = "week of ";
const storage = globalThis.caches; // Undefined outside secure contexts.

// Serializes cache writes, so that a write that started before a sign-out can't follow its removal.
let lastJob = Promise.resolve();
const runInOrder = (work) => (lastJob = lastJob.then(work, work));

function cacheWeek(week) {
  const { generation } = state;
  if (!storage || week !== state.week) return;
  const name = CACHE_PREFIX + week.userId;
  return runInOrder(async () => {
    if (generation !== state.generation) return;
    await deleteCachedWeeks((it) => it !== name);
    await (await storage.open(name)).put("/codex", Response.json(week));
  }).catch(() => {}); // A browser may deny storage.
}

async function cachedWeek() {
  const names = storage ? await storage.keys() : [];
  const name = names.find((it) => it.startsWith(CACHE_PREFIX));
  const cached = name && (await (await storage.open(name)).match("/codex"));
  return cached ? cached.json() : null;
}

async function deleteCachedWeeks(which) {
  const names = await storage.keys();
  await Promise.all(names.filter((it) => it.startsWith(CACHE_PREFIX) && which(it)).map((it) => storage.delete(it)));
}

/** Removes all user data from this device. `Clear-Site-Data` alone isn't enough: not every browser supports it. */
function clearLocalData() {
  state.generation += 1;
  stopMoving();
  dropHold();
  form = null;
  startLine();
  Object.assign(server, { user: null, version: 0 });
  tab.forget();
  const workers = navigator.serviceWorker?.getRegistrations() ?? Promise.resolve([]);
  const unregistered = workers.then((all) => Promise.all(all.map((it) => it.unregister()))).catch(() => {});
  return Promise.all([unregistered, storage && runInOrder(() => deleteCachedWeeks(() => true))]);
}
