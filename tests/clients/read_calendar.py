"""Reads the calendar of a running service with PyPI's icalendar, and prints its entries as JSON, a line each."""

import json
import sys

from icalendar import Calendar

[calendar] = Calendar.from_ical(sys.stdin.buffer.read(), multiple=True)
assert calendar["VERSION"] == "2.0" and calendar["PRODID"] and not calendar.errors
assert calendar.decoded("REFRESH-INTERVAL").total_seconds() == 3600
for event in calendar.walk("VEVENT"):
    assert not event.errors, event.errors
    start, end = event.decoded("DTSTART"), event.get("DTEND")
    row = {
        "uid": str(event["UID"]),
        "start": start.isoformat(),
        "end": end and end.dt.isoformat(),
        "title": str(event["SUMMARY"]),
        "transparency": str(event["TRANSP"]),
        "reminders": [str(time.trigger) for time in event.alarms.times],
        "categories": [str(category) for category in event.categories],
    }
    print(json.dumps(row))
