// Manual Git sync.

async function openSync() {
  showSync(el("p", { role: "status" }, "…"));
  try {
    const { json } = await request("GET", "/sync");
    if (isAt("sync")) showSync(syncState(json), syncButton());
  } catch (error) {
    const open = isAt("sync");
    if (error.code === "github_not_configured") return open && showSync(el("p", {}, syncOffText()));
    if (open) back();
    handleError(error);
  }
}

/** Without a sign-in the reader runs the service. */
const syncOffText = () => [words.syncOff, state.me?.auth === "dev" && words.syncSettings].filter(Boolean).join(" ");

function showSync(...content) {
  show(
    "sync-title",
    el("h2", { id: "sync-title" }, words.gitSync),
    content,
  );
}

const syncButton = (label = words.syncNow, query = "") =>
  el(
    "p",
    {},
    el(
      "button",
      { type: "button", className: "main", "data-key": "sync", onclick: () => canWrite() && runSync(query) },
      label,
    ),
  );

function syncState({ syncedAt, unpushed, pullRequests, lastError }) {
  return [
    el("p", {}, syncedAt ? words.syncedAt(momentName(syncedAt)) : words.neverSynced),
    el("p", {}, unpushed.length ? words.unpushed(unpushed.length) : words.allPushed),
    unpushed.length > 0 &&
      el(
        "ul",
        {},
        unpushed.map(({ filename }) => el("li", {}, filename)),
      ),
    pullRequests.length > 0 && [el("h3", {}, words.pulls), el("ul", {}, pullRequests.map(pullView))],
    lastError &&
      el(
        "p",
        { className: "why" },
        words.lastError(momentName(lastError.at)),
        " ",
        el("span", { lang: "en" }, lastError.message),
      ),
  ];
}

function pullView({ filename, number, htmlUrl }) {
  const name = words.pull(number);
  return el(
    "li",
    {},
    LINK.test(htmlUrl) ? el("a", { href: htmlUrl, rel: "noopener noreferrer" }, name) : name,
    ` · ${filename}`,
  );
}

async function runSync(query) {
  showSync(el("p", { role: "status" }, words.syncing), el("progress", { "aria-label": words.syncing }));
  try {
    const { json } = await request("POST", `/sync${query}`);
    if (isAt("sync")) showSync(syncResult(json), syncButton());
    await afterChange();
  } catch (error) {
    if (error.code === "mass_delete" && isAt("sync")) {
      return showSync(
        el("p", { role: "alert" }, words.massDelete(error.count)),
        syncButton(words.removeFiles(error.count), `?confirm=${error.count}`),
      );
    }
    if (isAt("sync")) openSync();
    handleError(error);
  }
}

function syncResult(it) {
  return [
    el("p", { role: "status" }, words.syncResult(it)),
    it.problems.length > 0 &&
      el(
        "ul",
        {},
        it.problems.map((problem) => el("li", {}, `${problem.file}: `, el("span", { lang: "en" }, problem.message))),
      ),
  ];
}
