// Looking for tasks, of any status.

const searchForm = document.querySelector("form[role=search]");
const NOTHING = { q: "", kategorie: "", status: "offen", tag: "" };
const PAGE = "50";

let wanted = { ...NOTHING };
let latest = 0;
let typing;

/** Looks for something else. What is looked for stands in the address, so that it is found again. */
function search(change) {
  wanted = { ...wanted, ...change };
  replacePlace(placeOfSearch());
}

function placeOfSearch() {
  const parameters = Object.entries(wanted).filter(([name, value]) => value !== NOTHING[name]);
  return parameters.length ? `#/?${new URLSearchParams(parameters)}` : "#/";
}

/** Looks for what the address says. */
async function showSearch(parameters) {
  wanted = {
    ...NOTHING,
    ...Object.fromEntries(
      Object.keys(NOTHING)
        .filter((name) => parameters.has(name))
        .map((name) => [name, parameters.get(name)]),
    ),
  };
  for (const name of ["q", "kategorie", "status"]) {
    const input = searchForm.elements[name];
    if (document.activeElement !== input) input.value = wanted[name];
  }
  if (placeOfSearch() === "#/") {
    latest += 1;
    const wasFound = state.found;
    state.found = null;
    return wasFound && render();
  }
  await searchAgain();
}

async function searchAgain() {
  const mine = (latest += 1);
  try {
    const found = await searchPage();
    if (mine !== latest) return;
    state.found = found;
    render();
  } catch (refusal) {
    if (mine === latest) failed(refusal);
  }
}

async function searchPage(cursor) {
  const parameters = Object.entries({ ...wanted, limit: PAGE, cursor }).filter(([, value]) => value);
  const { json } = await ask("GET", `/api/tasks?${new URLSearchParams(parameters)}`);
  return { tasks: json.tasks, next: json.nextCursor };
}

async function searchMore() {
  const mine = latest;
  try {
    const { tasks, next } = await searchPage(state.found.next);
    if (mine !== latest) return;
    state.found = { tasks: [...state.found.tasks, ...tasks], next };
    render();
  } catch (refusal) {
    failed(refusal);
  }
}

function foundView() {
  const { tasks, next } = state.found;
  return el(
    "section",
    { className: "list found", "aria-labelledby": "found" },
    el("h1", { id: "found" }, words.found),
    el("p", { role: "status" }, words.foundCount(tasks.length, next !== null)),
    wanted.tag &&
      el(
        "p",
        {},
        el(
          "button",
          {
            type: "button",
            className: "tag",
            "aria-label": words.noTag(wanted.tag),
            "data-key": "no tag",
            onclick: () => search({ tag: "" }),
          },
          words.onlyTag(wanted.tag),
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

searchForm.addEventListener("submit", (event) => event.preventDefault());
searchForm.addEventListener("input", (event) => {
  clearTimeout(typing);
  const wait = event.target.name === "q" ? 200 : 0;
  typing = setTimeout(() => search(Object.fromEntries(new FormData(searchForm))), wait);
});
