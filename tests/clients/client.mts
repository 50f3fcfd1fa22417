// Calls every JSON operation of a running service through openapi-fetch and the types that openapi-typescript made,
// and prints each call's method and path. tests/system/openapi/clients.rs sets the service up: in Git are a file 0007
// that can't be read as a task, and a task 0008 that was marked as done by hand.
import createClient from "openapi-fetch";
import type { components, paths } from "./service.d.ts";

declare const process: { env: Record<string, string | undefined> };

type Schemas = components["schemas"];
/** Nothing where the compiler knows no type: whatever is then done with it is an error. */
type Known<T> = 0 extends 1 & T ? never : T;

const setting = (name: string) => process.env[name] ?? fail(`${name} isn't set`);
const client = createClient<paths, "application/json">({
  baseUrl: setting("CODEX_URL"),
  headers: { Authorization: `Bearer ${setting("CODEX_TOKEN")}` },
});
client.use({
  async onRequest({ request, schemaPath }) {
    console.log(`${request.method} ${schemaPath}`);
    if (schemaPath === "/github/webhook") {
      request.headers.set("X-Hub-Signature-256", await signature(await request.clone().arrayBuffer()));
    }
    return request;
  },
});

async function signature(body: ArrayBuffer): Promise<string> {
  const secret = new TextEncoder().encode(setting("HOOK_SECRET"));
  const key = await crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const bytes = new Uint8Array(await crypto.subtle.sign("HMAC", key, body));
  return `sha256=${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

function fail(what: string): never {
  throw new Error(what);
}

function same<T>(actual: T, expected: NoInfer<T>): void {
  const [is, should] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (is !== should) fail(`${is}, not ${should}`);
}

/** What a call that must succeed answers. */
async function ok<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<Known<T>> {
  const { data, error, response } = await call;
  if (data === undefined) fail(`${response.status}: ${JSON.stringify(error)}`);
  return data as Known<T>;
}

const greeting = await ok(client.GET("/"));
same<true>(greeting.ok, true);
same<string>(greeting.week, "/codex");
same<true>((await ok(client.GET("/healthz"))).ok, true);
same<true>((await ok(client.GET("/readyz"))).ok, true);
same<string>((await ok(client.GET("/openapi.json"))).openapi, "3.1.0");

const me = await ok(client.GET("/auth/me"));
same<Schemas["Way"]>(me.auth, "github");

// What Git has is taken.
const done = await ok(client.POST("/sync", { params: { query: { mode: "full", clean: "true" } } }));
same<number>(done.changed, 2);
same<string>(done.userId, me.userId);
const unreadable = await ok(client.GET("/api/tasks/{id}", { params: { path: { id: "0007" } } }));
if (!("problem" in unreadable)) fail("0007 is a task");
same<Schemas["ProblemCode"]>(unreadable.problem.code, "bad_kategorie");
same<string | null>(unreadable.id, "0007");

const created = await ok(
  client.POST("/api/tasks", {
    params: { header: { "Idempotency-Key": "typescript" } },
    body: { kategorie: "arbeit", title: "Steuer", tags: ["geld"], fixedSlot: { datum: "24.12.2099", zeit: "Abends" } },
  }),
);
same<true>(created.ok, true);
same<string>(created.filename, `${created.id}-Steuer.md`);
const path = { id: created.id };

const task = await ok(client.GET("/api/tasks/{id}", { params: { path } }));
if (!("title" in task)) fail(`${created.id} is no task: ${task.problem.message}`);
same<string>(task.title, "Steuer");
same<Schemas["Slot"] | null>(task.fixedSlot, { datum: "24.12.2099", zeit: "abends" });
same<string | null>(task.html, "<h1>Steuer</h1>\n");

const updated = await ok(
  client.PATCH("/api/tasks/{id}", {
    params: { path, header: { "If-Match": `"${task.etag}"` } },
    body: { fixedSlot: null, deadline: "24.12.2099" },
  }),
);
same<true>(updated.ok, true);
const put = await ok(client.PUT("/api/tasks/{id}", { params: { path }, body: { tags: ["geld", "amt"] } }));
same<boolean>(put.version > updated.version, true);

const due = { due_from: "24.12.2099", due_to: "24.12.2099" };
const query = { status: ["offen" as const, "abgebrochen" as const], kategorie: "arbeit" as const, limit: 10, ...due };
const listed = await ok(client.GET("/api/tasks", { params: { query } }));
same<string | null>(listed.nextCursor, null);
const [first] = listed.tasks;
same<string[] | undefined>(first?.tags, ["geld", "amt"]);
same<Schemas["Slot"] | null | undefined>(first?.fixedSlot, null);

const week = await ok(client.GET("/codex"));
same<string | undefined>(week.problems[0]?.code, "bad_kategorie");
const shown = week.timeline.flatMap((day) => day.slots).find((slot) => slot.task?.id === created.id);
same<boolean | undefined>(shown?.task?.deadlineMissed, false);

const { url } = await ok(client.POST("/api/calendar"));
const token = url.slice(url.lastIndexOf("/") + 1);
same<boolean>((await (await fetch(url)).text()).startsWith("BEGIN:VCALENDAR\r\n"), true);
same<true>((await ok(client.DELETE("/api/calendar"))).ok, true);
const ended = await client.GET("/calendar/{token}", { params: { path: { token } } });
same<string | undefined>(ended.error?.code, "not_found");

const preview = await ok(client.POST("/api/preview", { body: { body: "Belege *sammeln*" } }));
same<string>(preview.html, "<p>Belege <em>sammeln</em></p>\n");

const state = await ok(client.GET("/sync"));
same<number | undefined>(state.head?.length, 40);
same<Schemas["Skipped"][]>(state.problems, []);

const body = { ref: "refs/heads/main", repository: { full_name: setting("REPOSITORY") } };
const params = (event: string) => ({ header: { "X-GitHub-Event": event } });
const fetched = await ok(client.POST("/github/webhook", { params: params("push"), body }));
if (!("results" in fetched)) fail("a push is no ping, and isn't ignored");
same<number>(fetched.usersAffected, fetched.results.length);
const ignored = await ok(client.POST("/github/webhook", { params: params("star"), body }));
if (!("ignored" in ignored)) fail("another event is ignored");
same<true>(ignored.ignored, true);

const at: Schemas["Slot"] = { datum: "23.12.2025", zeit: "abends" };
const completed = await ok(client.POST("/api/tasks/{id}/complete", { params: { path }, body: at }));
same<Schemas["Slot"] | undefined>(completed.completedAt, at);
const again = await ok(client.POST("/api/tasks/{id}/complete", { params: { path } }));
same<boolean | undefined>(again.alreadyCompleted, true);
// Nobody knows when: the member is missing, and never null.
const byHand = await ok(client.POST("/api/tasks/{id}/complete", { params: { path: { id: "0008" } } }));
same<boolean | undefined>(byHand.alreadyCompleted, true);
same<Schemas["Completed"]["completedAt"]>(byHand.completedAt, undefined);

const anyVersion = { "If-Match": "*" };
const deleted = await ok(client.DELETE("/api/tasks/{id}", { params: { path, header: anyVersion } }));
same<string>(deleted.id, created.id);
const gone = await client.DELETE("/api/tasks/{id}", { params: { path } });
same<string | undefined>(gone.error?.code, "task_not_found");

// A refusal has its codes, and only those of its operation.
const { error } = await client.GET("/api/tasks/{id}", { params: { path: { id: "9999" } } });
if (error === undefined) fail("9999 isn't there");
same<false>(error.ok, false);
if (error.code !== "task_not_found") fail(error.error);

same<true>((await ok(client.POST("/auth/logout"))).ok, true);
