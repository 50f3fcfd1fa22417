// Keeps the page itself, so that it opens without a connection. It never answers for data: what is known of a
// week the page keeps, by user, and it says so.

const SHELL = "shell";

self.addEventListener("install", (event) => event.waitUntil(keepShell()));
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== self.location.origin) return;
  if (request.mode === "navigate" && pathname === "/") event.respondWith(page(request));
  else if (pathname.startsWith("/assets/")) event.respondWith(asset(request));
});

async function page(request) {
  try {
    const answer = await fetch(request);
    if (answer.status >= 500) throw answer;
    return answer;
  } catch (trouble) {
    const kept = await (await caches.open(SHELL)).match("/");
    return kept ?? (trouble instanceof Response ? trouble : Response.error());
  }
}

/** An asset's name changes with its content, so what is kept is right. */
async function asset(request) {
  const kept = await (await caches.open(SHELL)).match(request);
  return kept ?? fetch(request);
}

/** The page and what it names, together: a newer page comes with another worker, since the worker names its parts. */
async function keepShell() {
  const parts = ["/", ...ASSETS];
  const answers = await Promise.all(parts.map((part) => fetch(part, { headers: { Accept: "text/html, */*" } })));
  if (answers.some((answer) => !answer.ok)) throw new Error("the page can't be kept now");
  await caches.delete(SHELL);
  const cache = await caches.open(SHELL);
  await Promise.all(parts.map((part, at) => cache.put(part, answers[at])));
  await self.skipWaiting();
}
