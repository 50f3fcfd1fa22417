// The week as a calendar feed: its address is got and ended here. Only who gets it is shown it, once.

function openCalendar(...content) {
  show(
    "calendar-title",
    el("h2", { id: "calendar-title" }, words.calendar),
    el("p", {}, words.calendarHint),
    content.length > 0 ? content : el("p", { className: "quiet" }, words.calendarOnce),
    el(
      "p",
      { className: "buttons" },
      calendarButton(words.newAddress, getAddress, "main"),
      calendarButton(words.endAddress, endAddress),
    ),
  );
}

const calendarButton = (label, act, className) =>
  el("button", { type: "button", className, "data-key": label, onclick: () => canWrite() && act() }, label);

async function getAddress() {
  try {
    const { json } = await request("POST", "/api/calendar", { json: {} });
    if (isAt("calendar")) openCalendar(addressView(json.url));
  } catch (error) {
    handleError(error);
  }
}

async function endAddress() {
  try {
    await request("DELETE", "/api/calendar");
    if (isAt("calendar")) openCalendar(el("p", { role: "status" }, words.addressEnded));
  } catch (error) {
    handleError(error);
  }
}

function addressView(url) {
  const input = el("input", { readOnly: true, value: url, onfocus: () => input.select() });
  const copy = async () => {
    input.select();
    // Without the permission it is selected, to be copied by hand.
    const copied = await navigator.clipboard?.writeText(url).then(
      () => true,
      () => false,
    );
    if (copied) showMessage(words.copied);
  };
  return [
    field("address", words.address, input),
    el(
      "p",
      { className: "buttons" },
      el("button", { type: "button", onclick: copy }, words.copy),
      // The scheme by which calendar programs subscribe.
      el("a", { className: "button", href: url.replace(/^https?/, "webcal") }, words.subscribe),
    ),
  ];
}
