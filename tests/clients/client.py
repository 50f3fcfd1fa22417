"""Calls every JSON operation of a running service through the client that openapi-python-client generated, and prints
each call's method and path. tests/system/openapi/clients.rs sets the service up: Git has a file 0007 that can't be
parsed as a task, and a task 0008 that was marked as done by hand."""

import hashlib
import hmac
import os
from typing import TypeVar

import httpx

from service import AuthenticatedClient, models
from service.api.calendar import calendar, create_calendar, delete_calendar
from service.api.git import github_webhook, sync, sync_state
from service.api.service import healthz, openapi_json, readyz, root
from service.api.sign_in import logout, me
from service.api.tasks import (
    complete_task,
    create_task,
    delete_task,
    get_task,
    list_tasks,
    preview,
    put_task,
    update_task,
)
from service.api.week import render_codex
from service.types import UNSET

T = TypeVar("T")


def note(request: httpx.Request) -> None:
    print(request.method, request.url.path)
    if request.url.path == "/github/webhook":
        digest = hmac.new(os.environ["HOOK_SECRET"].encode(), request.read(), hashlib.sha256)
        request.headers["X-Hub-Signature-256"] = "sha256=" + digest.hexdigest()


def a(kind: type[T], answer: object) -> T:
    """The answer, which must be of this type: the other types in the document are refusals."""
    assert isinstance(answer, kind), answer
    return answer


client = AuthenticatedClient(
    base_url=os.environ["CODEX_URL"],
    token=os.environ["CODEX_TOKEN"],
    raise_on_unexpected_status=True,
    timeout=httpx.Timeout(60),
    httpx_args={"event_hooks": {"request": [note]}},
)

greeting = a(models.Greeting, root.sync(client=client))
assert greeting.ok is True and greeting.week == "/codex"
assert a(models.Fine, healthz.sync(client=client)).ok is True
assert a(models.Fine, readyz.sync(client=client)).ok is True
assert a(models.OpenApi, openapi_json.sync(client=client)).openapi == "3.1.0"

who = a(models.Me, me.sync(client=client))
assert who.auth is models.Way.GITHUB

# The sync takes in what Git has.
done = a(models.SyncDone, sync.sync(client=client, mode=models.SyncMode.FULL, clean=models.SyncClean.TRUE))
assert done.changed == 2 and done.user_id == who.user_id
unreadable = a(models.ShownFile, get_task.sync("0007", client=client))
assert unreadable.problem.code is models.ProblemCode.BAD_KATEGORIE and unreadable.id == "0007"

new = models.NewTask(
    kategorie=models.Kategorie.ARBEIT,
    title="Steuer",
    tags=["geld"],
    fixed_slot=models.SlotGiven(datum="24.12.2099", zeit="Abends"),
)
created = a(models.Created, create_task.sync(client=client, body=new, idempotency_key="python"))
assert created.ok is True and created.filename == f"{created.id}-Steuer.md"

task = a(models.ShownTask, get_task.sync(created.id, client=client))
assert task.title == "Steuer" and task.html == "<h1>Steuer</h1>\n"
assert task.fixed_slot == models.Slot(datum="24.12.2099", zeit=models.Zeit.ABENDS)

changes = models.TaskChanges(fixed_slot=None, deadline="24.12.2099")
updated = a(models.Updated, update_task.sync(task.id, client=client, body=changes, if_match=f'"{task.etag}"'))
assert updated.ok is True
put = a(models.Updated, put_task.sync(task.id, client=client, body=models.TaskChanges(tags=["geld", "amt"])))
assert put.version > updated.version

statuses = [models.ListTasksStatusItem.OFFEN, models.ListTasksStatusItem.ABGEBROCHEN]
due = {"due_from": "24.12.2099", "due_to": "24.12.2099"}
listed = a(
    models.Listed, list_tasks.sync(client=client, status=statuses, kategorie=models.Kategorie.ARBEIT, limit=10, **due)
)
assert listed.next_cursor is None
assert listed.tasks[0].tags == ["geld", "amt"] and listed.tasks[0].fixed_slot is None

week = a(models.Week, render_codex.sync(client=client))
assert week.problems[0].code is models.ProblemCode.BAD_KATEGORIE
tasks = [slot.task for day in week.timeline for slot in day.slots if slot.task is not None]
assert [shown.deadline_missed for shown in tasks if shown.id == task.id] == [False]

address = a(models.CalendarCreated, create_calendar.sync(client=client)).url
token = address.rsplit("/", 1)[1]
assert calendar.sync_detailed(token, client=client).content.startswith(b"BEGIN:VCALENDAR\r\n")
assert a(models.CalendarDeleted, delete_calendar.sync(client=client)).ok is True
unknown = a(models.CalendarResponse404, calendar.sync(token, client=client))
assert unknown.code is models.CalendarResponse404Code.NOT_FOUND

rendered = a(models.Preview, preview.sync(client=client, body=models.ToPreview(body="Belege *sammeln*")))
assert rendered.html == "<p>Belege <em>sammeln</em></p>\n"

state = a(models.SyncState, sync_state.sync(client=client))
assert state.head is not None and len(state.head) == 40 and state.problems == []

repository = models.PushedRepository(full_name=os.environ["REPOSITORY"])
payload = models.PushPayload(ref="refs/heads/main", repository=repository)
fetched = a(models.Fetched, github_webhook.sync(client=client, body=payload, x_git_hub_event="push"))
assert fetched.users_affected == len(fetched.results)
ignored = a(models.IgnoredDelivery, github_webhook.sync(client=client, body=payload, x_git_hub_event="star"))
assert ignored.ignored is True
pong = a(models.Pong, github_webhook.sync(client=client, body=payload, x_git_hub_event="ping"))
assert pong.ok is True

at = models.Completion(datum="23.12.2025", zeit="abends")
completed = a(models.Completed, complete_task.sync(task.id, client=client, body=at))
assert completed.completed_at == models.Slot(datum="23.12.2025", zeit=models.Zeit.ABENDS)
again = a(models.Completed, complete_task.sync(task.id, client=client))
assert again.already_completed is True
# The time is unknown: the member is missing, and never null.
by_hand = a(models.Completed, complete_task.sync("0008", client=client))
assert by_hand.already_completed is True and by_hand.completed_at is UNSET

deleted = a(models.Deleted, delete_task.sync(task.id, client=client, if_match="*"))
assert deleted.ok is True and deleted.id == task.id
gone = a(models.DeleteTaskResponse404, delete_task.sync(task.id, client=client))
assert gone.code is models.DeleteTaskResponse404Code.TASK_NOT_FOUND

# A refusal's codes are those of its operation.
missing = a(models.GetTaskResponse404, get_task.sync("9999", client=client))
assert missing.ok is False and missing.code is models.GetTaskResponse404Code.TASK_NOT_FOUND, missing.error

assert a(models.LoggedOut, logout.sync(client=client)).ok is True
