// Where one is, and the start.

// Each entry of the browser's history says how deep in the page it is, so that closing a dialog can go back.
let depth = history.state?.depth ?? 0;
history.replaceState({ depth }, "");

let goingBack = false;

function arrive() {
  goingBack = false;
  if (history.state?.depth === undefined) history.replaceState({ depth: depth + 1 }, "");
  depth = history.state.depth;
  route();
}

/** Back to where one came from, one step, however often it is asked for; who came by an address goes to the week. */
function back() {
  if (depth === 0) return replacePlace("#/");
  if (goingBack) return;
  goingBack = true;
  history.back();
}

function replacePlace(place) {
  history.replaceState({ depth }, "", place);
  route();
}

/** The view and the task that the address names; a task's name may hold anything. */
function placed() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, name = ""] = path.split("/");
  let stem = "";
  try {
    stem = decodeURIComponent(name);
  } catch {
    // Not one of ours: it names nothing.
  }
  return { view, stem, parameters: new URLSearchParams(query) };
}

function isAt(view, stem = "") {
  const at = placed();
  return at.view === view && at.stem === stem;
}

function route() {
  const { view, stem, parameters } = placed();
  if (state.signedOut) return;
  keepDraft();
  if (view === "new") return openNew(parameters);
  if (view === "task" && stem) return openTask(stem);
  if (view === "edit" && stem) return openEdit(stem);
  if (view === "sync") return openSync();
  hide();
  return showSearch(parameters);
}

window.addEventListener("popstate", arrive);
document.addEventListener("visibilitychange", () => (document.hidden ? schedule() : refresh()));
window.addEventListener("online", () => refresh());
window.addEventListener("pageshow", ({ persisted }) => persisted && refresh());
for (const event of ["pointerdown", "keydown", "focus"]) window.addEventListener(event, active, { passive: true });

await refresh();
route();
// Without it the page only needs the service to open.
async function register() {
  const { era } = state;
  if (state.signedOut) return;
  const made = await navigator.serviceWorker?.register(policy.createScriptURL("")).catch(() => null);
  // Whoever signs out meanwhile finds no worker yet, and wants none.
  if (era !== state.era) await made?.unregister().catch(() => {});
}
afterPaint(() => setTimeout(register, 500));
