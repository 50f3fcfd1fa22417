// Search for tasks of any status.

const searchForm = document.querySelector("form[role=search]");
const NO_CRITERIA = { q: "", kategorie: "", status: "offen", tag: "" };
const PAGE = "50";

let criteria = { ...NO_CRITERIA };
let latestId = 0;
let typing = null; // The timer of a search for what was typed.

/** Changes the search criteria. They are in the URL, so that a search can be bookmarked and reloaded. */
function search(change) {
  dropHold();
  criteria = { ...criteria, ...change };
  replaceRoute(searchRoute());
}

/** Searches for what is in the fields, once for what was typed. */
function searchTyped() {
  if (!typing) return;
  clearTimeout(typing);
  typing = null;
  search(Object.fromEntries(new FormData(searchForm)));
}

function searchRoute() {
  const parameters = Object.entries(criteria).filter(([name, value]) => value !== NO_CRITERIA[name]);
  return parameters.length ? `#/?${new URLSearchParams(parameters)}` : "#/";
}

/** Runs the search of the URL's parameters. */
async function showSearch(parameters) {
  const before = searchRoute();
  criteria = {
    ...NO_CRITERIA,
    ...Object.fromEntries(
      Object.keys(NO_CRITERIA)
        .filter((name) => parameters.has(name))
        .map((name) => [name, parameters.get(name)]),
    ),
  };
  for (const name of ["q", "kategorie", "status"]) {
    const input = searchForm.elements[name];
    if (document.activeElement !== input) input.value = criteria[name];
  }
  // On a narrow screen the filters are behind a button, but not those that leave something out.
  searchForm.toggleAttribute("data-filtered", Boolean(criteria.kategorie) || criteria.status !== NO_CRITERIA.status);
  if (searchRoute() !== before) dropHold();
  if (searchRoute() === "#/") {
    const wasElsewhere = leaveElsewhere();
    if (wasElsewhere) dropHold();
    return (leaveSearch() || wasElsewhere) && render();
  }
  await searchAgain();
}

/** Ends the search. Returns whether there was a result. */
function leaveSearch() {
  latestId += 1;
  criteria = { ...NO_CRITERIA };
  for (const name of ["q", "kategorie", "status"]) {
    const input = searchForm.elements[name];
    if (document.activeElement !== input) input.value = criteria[name];
  }
  searchForm.removeAttribute("data-filtered");
  const wasFound = state.found !== null;
  state.found = null;
  return wasFound;
}

async function searchAgain() {
  const id = (latestId += 1);
  try {
    const found = await searchPage();
    if (id !== latestId) return;
    leaveElsewhere();
    state.found = found;
    render();
  } catch (error) {
    if (id === latestId) handleError(error);
  }
}

async function searchPage(cursor) {
  const parameters = Object.entries({ ...criteria, limit: PAGE, cursor }).filter(([, value]) => value);
  const { json } = await request("GET", `/api/tasks?${new URLSearchParams(parameters)}`);
  return { tasks: json.tasks, next: json.nextCursor };
}

async function searchMore() {
  release();
  const id = latestId;
  try {
    const { tasks, next } = await searchPage(state.found.next);
    if (id !== latestId) return;
    state.found = { tasks: [...state.found.tasks, ...tasks], next };
    render();
  } catch (error) {
    handleError(error);
  }
}

function foundView({ tasks, next }) {
  return el(
    "section",
    { className: "list found", "aria-labelledby": "found" },
    el("h1", { id: "found" }, words.found),
    el("p", { role: "status" }, words.foundCount(tasks.length, next !== null)),
    tasks.length === 0 && createFound(),
    criteria.tag &&
      el(
        "p",
        {},
        el(
          "button",
          {
            type: "button",
            className: "tag",
            "aria-label": words.noTag(criteria.tag),
            "data-key": "no tag",
            onclick: () => search({ tag: "" }),
          },
          words.onlyTag(criteria.tag),
          " ×",
        ),
      ),
    el(
      "ul",
      {},
      tasks.map((task) => el("li", {}, card(task))),
    ),
    el(
      "p",
      { className: "buttons" },
      next !== null && el("button", { type: "button", "data-key": "more", onclick: searchMore }, words.more),
      el("a", { className: "button", href: "#/", "data-key": "week" }, words.clearSearch),
    ),
  );
}

/** Nothing was found: it can be created. */
function createFound() {
  const title = criteria.q.trim();
  const place = { className: "button", href: `#/new?${new URLSearchParams({ title })}`, "data-key": "create found" };
  return title && el("p", {}, el("a", place, words.createFound(title)));
}

searchForm.querySelector("#filters").addEventListener("click", ({ currentTarget }) => {
  currentTarget.ariaExpanded = String(currentTarget.ariaExpanded !== "true");
});
searchForm.addEventListener("submit", (event) => event.preventDefault());
searchForm.addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(searchTyped, event.target.name === "q" ? 200 : 0);
});
// The field is left: what was typed is searched before anything else is opened, not after.
searchForm.addEventListener("focusout", searchTyped);
