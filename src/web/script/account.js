// Who is signed in, and what this device keeps of them.

// The other tabs of this browser.
const tabs = new BroadcastChannel("codex");
tabs.onmessage = ({ data }) => {
  if (data !== "signed-out") return refresh();
  // This tab's worker may have been on its way when the other one looked for workers.
  forgetAll().catch(() => {});
  nobody();
};

const TRIED = "codex-sign-in-tried";
const SOON = 60_000; // A sign-in that is wanted again so soon (ms) hasn't worked.

const signInPlace = () => `/login?return_to=${encodeURIComponent(location.pathname + location.hash)}`;

/** Goes to the sign-in, and back to the same place afterwards; a form's draft is there then. */
function signIn() {
  keepDraft();
  tab.set(TRIED, Date.now());
  location.assign(signInPlace());
}

/** Nobody is signed in. Who has just come here, or just asked for something, is led to the sign-in. */
function nobody() {
  const tried = Date.now() - tab.get(TRIED) < SOON;
  const arriving = !state.week && !state.signedOut;
  state.era += 1;
  state.leaving.clear();
  Object.assign(state, { week: null, etag: null, layer: null, found: null, me: null, signedOut: true });
  if (arriving && !tried) return signIn();
  state.tried = tried;
  hide();
  render();
}

const signedOutView = () =>
  el(
    "div",
    { className: "empty" },
    el("h1", {}, "CodexMiroir"),
    el("p", { role: "status" }, state.tried ? words.signInFailed : words.signedOut),
    el("a", { className: "button main", href: signInPlace() }, words.signIn),
  );

async function signOut() {
  try {
    const { json } = await ask("POST", "/auth/logout");
    tabs.postMessage("signed-out");
    await forgetAll();
    if (json.next) return location.assign(json.next);
    nobody();
    history.replaceState(history.state, "", "#/");
  } catch (refusal) {
    failed(refusal);
  }
}

async function learnWhoAsks() {
  const { era } = state;
  try {
    const { json } = await ask("GET", "/auth/me");
    if (era !== state.era) return;
    state.me = json;
    renderFooter();
  } catch {
    // The week's own request says what is wrong.
  }
}

function renderFooter() {
  const account = document.querySelector("#account");
  const { me, week, layer } = state;
  // Without a sign-in there is only one user, and nothing to leave.
  const signedIn = me && me.auth !== "dev";
  fill(
    account,
    signedIn && el("span", { title: words.signedInAs(me.login) }, me.login),
    signedIn && el("button", { type: "button", onclick: signOut, "data-key": "sign out" }, words.signOut),
  );
  document.querySelector("#as-of").textContent =
    week && !state.signedOut ? words.asOf(momentName(week.generatedAt), words.layer[layer] ?? layer) : "";
}

// --- What is kept for when there is no connection: the last week of the last user ---

const KEPT = "week of ";
const store = globalThis.caches; // Only where the address is a secure one.

// One after the other: what was forgotten isn't kept again by something that began before.
let turn = Promise.resolve();
const inTurn = (work) => (turn = turn.then(work, work));

function keepWeek(week) {
  const { era } = state;
  if (!store || week !== state.week) return;
  const name = KEPT + week.userId;
  return inTurn(async () => {
    if (era !== state.era) return;
    await removeWeeks((it) => it !== name);
    await (await store.open(name)).put("/codex", Response.json(week));
  }).catch(() => {}); // A browser may refuse to keep anything.
}

async function keptWeek() {
  const names = store ? await store.keys() : [];
  const name = names.find((it) => it.startsWith(KEPT));
  const kept = name && (await (await store.open(name)).match("/codex"));
  return kept ? kept.json() : null;
}

async function removeWeeks(which) {
  const names = await store.keys();
  await Promise.all(names.filter((it) => it.startsWith(KEPT) && which(it)).map((it) => store.delete(it)));
}

/** Leaves nothing of anybody on this device. The service asks the browser for the same, where it listens. */
function forgetAll() {
  state.era += 1;
  form = null;
  Object.assign(heard, { user: null, version: 0 });
  tab.forget();
  const workers = navigator.serviceWorker?.getRegistrations() ?? Promise.resolve([]);
  const gone = workers.then((all) => Promise.all(all.map((it) => it.unregister()))).catch(() => {});
  return Promise.all([gone, store && inTurn(() => removeWeeks(() => true))]);
}
