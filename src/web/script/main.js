// Routing by the URL's fragment, and startup.

// Each history entry stores its depth within the page, so that closing a dialog can go back.
let depth = history.state?.depth ?? 0;
history.replaceState({ depth }, "");

let goingBack = false;

/** The views that are the page itself; the others are in the dialog. */
const PLACES = new Set(["", "done", "week"]);

function onPopState() {
  goingBack = false;
  if (history.state?.depth === undefined) history.replaceState({ depth: depth + 1 }, "");
  depth = history.state.depth;
  route();
}

/** Goes back one history entry, once even if called repeatedly; to the week if the page was opened at this URL. */
function back() {
  if (depth === 0) return replaceRoute("#/");
  if (goingBack) return;
  goingBack = true;
  history.back();
}

function replaceRoute(place) {
  history.replaceState({ depth }, "", place);
  route();
}

/** The URL's view and task. A task's name may contain any character. */
function currentRoute() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, name = ""] = path.split("/");
  let stem = "";
  try {
    stem = decodeURIComponent(name);
  } catch {
    // Malformed escapes: no such task.
  }
  return { view, stem, parameters: new URLSearchParams(query) };
}

function isAt(view, stem = "") {
  const current = currentRoute();
  return current.view === view && current.stem === stem;
}

function route() {
  const { view, stem, parameters } = currentRoute();
  if (state.signedOut) return;
  cancelDrag();
  if (mover.open) closeMover();
  saveDraft();
  if (view === "new") return openNew(parameters);
  if (view === "task" && stem) return openTask(stem);
  if (view === "edit" && stem) return openEdit(stem);
  if (view === "sync") return openSync();
  if (view === "keys") return openKeys();
  if (view === "calendar") return openCalendar();
  hide();
  if (view && PLACES.has(view)) return showElsewhere(view, stem);
  return showSearch(parameters);
}

window.addEventListener("popstate", onPopState);
document.addEventListener("visibilitychange", () => (document.hidden ? schedule() : refresh()));
window.addEventListener("online", () => refresh());
window.addEventListener("pageshow", ({ persisted }) => persisted && refresh());
for (const event of ["pointerdown", "keydown", "focus"])
  window.addEventListener(event, noteActivity, { passive: true });

await refresh();
restoreLine();
route();
// Optional: without the worker the page just doesn't open offline.
async function register() {
  const { generation } = state;
  if (state.signedOut) return;
  const registration = await navigator.serviceWorker?.register(policy.createScriptURL("")).catch(() => null);
  // A sign-out during the registration can't have found this worker, so it is removed here.
  if (generation !== state.generation) await registration?.unregister().catch(() => {});
}
afterPaint(() => setTimeout(register, 500));
