// Service worker: caches the page and its assets, so that it opens offline. It doesn't handle API requests: the page
// itself caches the last week, by user, and marks it as offline.

const SHELL = "shell";

self.addEventListener("install", (event) => event.waitUntil(cacheShell()));
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
    const response = await fetch(request);
    if (response.status >= 500) throw response;
    return response;
  } catch (failure) {
    const cached = await (await caches.open(SHELL)).match("/");
    return cached ?? (failure instanceof Response ? failure : Response.error());
  }
}

/** Cache first: an asset's name has a hash of its content, so a cached one is never stale. */
async function asset(request) {
  const cached = await (await caches.open(SHELL)).match(request);
  return cached ?? fetch(request);
}

/** Caches the page and its assets together. The worker lists the assets, so a new page version has a new worker. */
async function cacheShell() {
  const parts = ["/", ...ASSETS];
  const responses = await Promise.all(parts.map((part) => fetch(part, { headers: { Accept: "text/html, */*" } })));
  if (responses.some((response) => !response.ok)) throw new Error("the page can't be cached now");
  await caches.delete(SHELL);
  const cache = await caches.open(SHELL);
  await Promise.all(parts.map((part, index) => cache.put(part, responses[index])));
  await self.skipWaiting();
}
