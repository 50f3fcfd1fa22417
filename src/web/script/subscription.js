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

/** One request at a time: the buttons wait for the answer, which is shown to who asked. */
const calendarButton = (label, ask, className) =>
  el("button", { type: "button", className, "data-key": label, onclick: () => canWrite() && askOnce(ask) }, label);

let askingForAddress = false;

async function askOnce(ask) {
  if (askingForAddress) return;
  const { generation } = state;
  askingForAddress = true;
  try {
    const shown = await ask();
    if (generation !== state.generation) return;
    if (isAt("calendar")) openCalendar(shown);
    else showMessage(words.addressUnseen);
  } catch (error) {
    if (generation === state.generation) handleError(error);
  } finally {
    askingForAddress = false;
  }
}

async function getAddress() {
  const { json } = await request("POST", "/api/calendar");
  return addressView(json.url);
}

async function endAddress() {
  await request("DELETE", "/api/calendar");
  return el("p", { role: "status" }, words.addressEnded);
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
