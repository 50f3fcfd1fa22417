// The grammar of quick add: one line of text becomes a task. Pure: it knows neither the page nor the clock.
//
// `readItems` splits the line into expressions, such as a date or a tag, and words; `isUnderstood` decides on the weak
// ones, which may be ordinary words, too; `takeFields` gives each field the first expression for it. The rest is the
// title.

const ONE_DAY = 86_400_000;
const ZEITEN = ["morgens", "nachmittags", "abends"];

/**
 * Reads a line such as `Zahnarzt fr nachmittags #gesundheit !3.12. @privat`, German or English.
 *
 * `today`: `{datum, passed, taken}`, today's date, the slots of today that have passed, and the slots (`{datum, zeit}`)
 * of fixed tasks. `language`: in English text, German days of two letters aren't read. `kept`: ranges of the text that
 * stay text, whatever they could mean.
 *
 * Returns `{title, chips, escapes, fields, obstacle}`. A chip is an expression that was understood: its `text` is at
 * `[start, end)`, `field` is what it sets, and `datum`, `zeit`, `tag` or `kategorie` is to what. A time of day picks a
 * slot, but no field stores it, so it also stays in the title (`inTitle`). `escapes` are the positions of backslashes
 * that kept an expression a word. Every other character is in the title. `obstacle` is why the slot can't be had:
 * `passed`, `taken` or null.
 */
function parseQuickAdd(text, today, language = "de", kept = []) {
  const context = { now: timeOf(today.datum), language: language === "en" ? "en" : "de" };
  const { items, escapes } = readItems(text, context, kept);
  const { chips, found } = takeFields(
    items.filter((it, index) => it.field && !it.isKept && isUnderstood(items, index)),
  );
  const fixedSlot = slotOf(found, today);
  const isWeekend = fixedSlot && [0, 6].includes(new Date(timeOf(fixedSlot.datum)).getUTCDay());
  for (const it of chips) takeComma(text, it, items);
  const title = titleOf(text, chips, escapes);
  return {
    title,
    escapes,
    chips: chips.map(({ start, end, field, date, zeit, tag, kategorie, inTitle }) => ({
      start,
      end,
      text: text.slice(start, end),
      field,
      datum: date === undefined ? undefined : field === "fixedSlot" ? fixedSlot.datum : datumAt(date),
      zeit,
      tag,
      kategorie,
      inTitle: inTitle ?? false,
    })),
    fields: {
      title,
      kategorie: found.kategorie ?? (isWeekend ? "privat" : "arbeit"),
      deadline: found.deadline === undefined ? null : datumAt(found.deadline),
      fixedSlot,
      tags: found.tags,
      body: "",
    },
    obstacle: fixedSlot && obstacleOf(fixedSlot, today),
  };
}

// --- Dates, as the start of the day in UTC (ms) ---

const timeOf = (datum) => Date.parse(datum.split(".").reverse().join("-"));
const datumAt = (time) => new Date(time).toISOString().slice(0, 10).split("-").reverse().join(".");

/** The day, or null if there is no such day. */
function dayOf(year, month, day) {
  const time = Date.UTC(year, month - 1, day);
  const it = new Date(time);
  return it.getUTCFullYear() === year && it.getUTCMonth() === month - 1 && it.getUTCDate() === day ? time : null;
}

const later = (count, days, weeks, now) =>
  days || weeks ? now + count * (weeks ? 7 : 1) * ONE_DAY : monthsLater(count, now);

/** The day in `year`, which may have two digits; without a year, the next such day. */
function nextDay(day, month, year, now) {
  if (year) return dayOf(year.length === 2 ? 2000 + Number(year) : Number(year), month, day);
  const first = new Date(now).getUTCFullYear();
  // Eight years: 29 February may be that far away.
  const times = Array.from({ length: 9 }, (_, index) => dayOf(first + index, month, day));
  return times.find((time) => time !== null && time >= now) ?? null;
}

const nextWeekday = (weekday, now) => now + ((weekday - new Date(now).getUTCDay() + 7) % 7) * ONE_DAY;
const mondayAfter = (now) => now + (7 - ((new Date(now).getUTCDay() + 6) % 7)) * ONE_DAY;

function monthsLater(count, now) {
  const it = new Date(now);
  const [year, month] = [it.getUTCFullYear(), it.getUTCMonth() + count];
  return Date.UTC(year, month, Math.min(it.getUTCDate(), new Date(Date.UTC(year, month + 1, 0)).getUTCDate()));
}

// --- Words ---

// An umlaut as one character, as two, or written out.
const AE = "(?:ä|a\\u0308|ae)";
const UE = "(?:ü|u\\u0308|ue)";
// Days and months in the order of `Date`.
const DAYS = [
  "sonntag|sunday",
  "montag|monday",
  "dienstag|tuesday",
  "mittwoch|wednesday",
  "donnerstag|thursday",
  "freitag|friday",
  "samstag|sonnabend|saturday",
];
const SHORT_DAYS = {
  de: ["so|sun", "mo|mon", "di|tues?", "mi|wed", "do|thu|thurs?", "fr|fri", "sa|sat"],
  en: ["sun", "mon", "tues?", "wed", "thu|thurs?", "fri", "sat"],
};
// Of these the last word of a line may be an ordinary one: "Liste to do".
const ORDINARY_WORDS = { de: "so|mo|di|do|sun", en: "sun" };
const MONTHS = [
  "jan(?:uar|uary)?",
  "feb(?:ruar|ruary)?",
  `m(?:a|${AE})r(?:z|ch)?`,
  "apr(?:il)?",
  "ma[iy]",
  "jun[ei]?",
  "jul[iy]?",
  "aug(?:ust)?",
  "sept?(?:ember)?",
  "o[kc]t(?:ober)?",
  "nov(?:ember)?",
  "de[zc](?:ember)?",
];
const COUNTS = {
  a: 1,
  an: 1,
  one: 1,
  ein: 1,
  einem: 1,
  einer: 1,
  zwei: 2,
  two: 2,
  drei: 3,
  three: 3,
  vier: 4,
  four: 4,
};
// The parts of a day in the order of `ZEITEN`: words that say when, and nouns, which do so only beside others.
const ADVERBS = ["morgens|vormittags", "mittags|nachmittags", "abends"];
const GERMAN_NOUNS = [`fr${UE}h|morgen|vormittag`, "mittag|nachmittag", "abend"];
const NOUNS = GERMAN_NOUNS.map((it, index) => `${it}|${["morning", "noon|afternoon", "evening|night"][index]}`);

/** After these words a day or slot is part of what they say: "für Freitag", "jeden Montag", "vom 3.12.". */
const BEFORE_A_NAME = new Set(
  `ab an bei bis das dem der des die from für fuer for mit nach of oder or seit since to und and until vom von vor wie
  with zu zum zur zwischen between as by before after every each last the good ganzen guten jede jeden jeder jedes
  letzte letzten letzter version kapitel chapter punkt teil part`.split(/\s+/),
);

const anyOf = (sources) => sources.join("|");
const indexIn = (sources, word) => sources.findIndex((it) => new RegExp(`^(?:${it})$`, "iu").test(word));

/** Matches an expression where it begins. Punctuation after it belongs to it; a longer word isn't it. */
const expression = (source) => new RegExp(`(?:${source})[,;:.!]?(?=\\s|$)`, "iuy");
/** The same for what stays in the title, with its punctuation. */
const titleExpression = (source) => new RegExp(`(?:${source})(?=[,;:.]?(?:\\s|$))`, "iuy");

function matchAt(regex, text, start) {
  regex.lastIndex = start;
  return regex.exec(text);
}

/** The forms of a date: `{regex, read, …}`. `read` returns the day that a match means, or null if there is none. */
function dateForms(language) {
  const [day, short, month] = [DAYS, SHORT_DAYS[language], MONTHS].map(anyOf);
  const both = DAYS.map((it, index) => `${it}|${SHORT_DAYS[language][index]}`);
  const anyDay = anyOf(both);
  const on = "(?:(?:am|den|on(?:\\s+the)?)\\s+)";
  const named = `(?:(?:${anyDay})\\.?,?\\s+(?:(?:den|the)\\s+)?)`;
  const next = `(?:n${AE}chste[nrs]?|next)`;
  const numbers = ([, date, month, year], now) => nextDay(Number(date), Number(month), year, now);
  const ofMonth = (date, word, year, now) => nextDay(Number(date), indexIn(MONTHS, word) + 1, year, now);
  const coming = ([, word], now) => nextWeekday(indexIn(both, word), now);
  const inNextWeek = ([, word], now) => nextWeekday(indexIn(both, word), mondayAfter(now));
  const forms = [
    ["(\\d{4})-(\\d\\d)-(\\d\\d)", ([, year, month, date]) => dayOf(Number(year), Number(month), Number(date))],
    [`${on}?${named}?(\\d{1,2})\\.(\\d{1,2})\\.(\\d{4}|\\d\\d)?`, numbers],
    // Without the second dot it may be any number, unless other words say that it is a day.
    [`(?:${on}${named}?|${named})(\\d{1,2})\\.(\\d{1,2})`, numbers],
    ["(\\d{1,2})\\.(\\d{1,2})", numbers, { ofDeadline: true }],
    [
      `${on}?${named}?(\\d{1,2})(?:\\.|st|nd|rd|th)?\\s+(?:of\\s+)?(${month})(?:\\.?,?\\s+(\\d{4}))?`,
      ([, date, word, year], now) => ofMonth(date, word, year, now),
      { mayBeBare: true },
    ],
    [
      `${on}?${named}?(${month})\\.?\\s+(\\d{1,2})(?:st|nd|rd|th)?(?:,?\\s+(\\d{4}))?`,
      ([, word, date, year], now) => ofMonth(date, word, year, now),
      { mayBeBare: true },
    ],
    ["heute|today", (_, now) => now],
    ["morgen|tomorrow", (_, now) => now + ONE_DAY],
    [`${UE}bermorgen|(?:the\\s+)?day\\s+after\\s+tomorrow`, (_, now) => now + 2 * ONE_DAY],
    [
      `in\\s+(\\d{1,3}|${anyOf(Object.keys(COUNTS))})\\s+(?:(tag|day)|(woche|week)|(?:monat|month))(?:e|en|n|s)?`,
      ([, count, days, weeks], now) => later(COUNTS[count.toLowerCase()] ?? Number(count), days, weeks, now),
    ],
    [`${next}\\s+(?:woche|week)`, (_, now) => mondayAfter(now)],
    [`${next}\\s+(${anyDay})`, inNextWeek],
    [`${on}?(${anyDay})\\s+${next}\\s+(?:woche|week)`, inNextWeek],
    [`${next}\\s+(?:woche|week)\\s+${on}?(${anyDay})`, inNextWeek],
    [`(?:kommende[nr]?|diese[nr]?|coming|this)\\s+(${anyDay})`, coming],
    [`${on}?(${day})`, coming, { weekly: true }],
    [`${on}(${short})`, coming, { weekly: true }],
    [`(${ORDINARY_WORDS[language]})`, coming, { weekly: true, isWeak: true, onlyBeside: true }],
    [`(${short})`, coming, { weekly: true, isWeak: true }],
  ];
  return forms.map(([source, read, more]) => ({ regex: expression(source), read, ...more }));
}

const DATE_FORMS = { de: dateForms("de"), en: dateForms("en") };

// --- Expressions ---

/** A month and a number: "Mai 3" may be about three of something. */
const BARE = /^(?:\d+\s+\p{L}+|\p{L}+\.?\s+\d+)[,;:.!]?$/u;

/** The longest date at `start`. */
function dateAt(text, start, { now, language }, ofDeadline = false) {
  let longest = null;
  for (const { regex, read, weekly, onlyBeside, ...form } of DATE_FORMS[language]) {
    const match = (ofDeadline || !form.ofDeadline) && matchAt(regex, text, start);
    const date = match ? read(match, now) : null;
    if (date === null || longest?.end >= regex.lastIndex) continue;
    const isWeak = form.isWeak || (form.mayBeBare && BARE.test(match[0]));
    longest = { end: regex.lastIndex, date, weekly, isWeak, onlyBeside };
  }
  return longest;
}

const SLOT = ADVERBS.map((adverb, index) => expression(`${adverb}|(?:am|at|in\\s+the)\\s+(?:${NOUNS[index]})`));
const SLOT_AFTER_DAY = NOUNS.map(expression);
const SLOT_OF_TODAY = ["this\\s+morning", "this\\s+afternoon", "this\\s+evening|tonight"].map(expression);
const WEAK_SLOT = ["morning", "noon|afternoon", "evening"].map(expression);
const SLOT_OF_DAY = GERMAN_NOUNS.map((noun) => expression(`(${anyOf(DAYS)})(?:${noun})s?`)); // "freitagabend"

/** The slot, and perhaps the day, at `start`. */
function slotAt(text, start, previous, { now }) {
  const isDay = previous?.date !== undefined && !previous.zeit;
  const forms = [
    [SLOT, () => ({})],
    [isDay ? SLOT_AFTER_DAY : [], () => ({ after: previous })],
    [SLOT_OF_TODAY, () => ({ date: now })],
    [SLOT_OF_DAY, ([, day]) => ({ date: nextWeekday(indexIn(DAYS, day), now), weekly: true })],
    [WEAK_SLOT, () => ({ isWeak: true })],
  ];
  for (const [regexes, more] of forms) {
    for (const [index, regex] of regexes.entries()) {
      const match = matchAt(regex, text, start);
      if (match) return { end: regex.lastIndex, zeit: ZEITEN[index], ...more(match) };
    }
  }
  return null;
}

const HOUR =
  "(?:(?:(at|gegen|um)|ab|from|von)\\s+)?(\\d{1,2})(?:([:.])(\\d\\d))?(?:\\s?[-–]\\s?\\d{1,2}(?:[:.]\\d\\d)?)?";
const NO_DURATION = "(?!\\s?(?:min|sec|sek|std|stunde|hour|hrs?\\b|h\\b))";
// In German "9 am" begins "9 am Bahnhof".
const TIME = {
  de: titleExpression(`${HOUR}(?:\\s?(uhr)|\\s?(pm)|(am))?${NO_DURATION}`),
  en: titleExpression(`${HOUR}(?:\\s?(uhr)|\\s?(pm)|\\s?(am))?${NO_DURATION}`),
};

/** The time of day at `start`, as its slot: the same hours as for a completion (`completion_slot`). */
function timeAt(text, start, { language }) {
  const match = matchAt(TIME[language], text, start);
  if (!match) return null;
  const [, at, hours, separator, minutes, uhr, pm, am] = match;
  const isTwelve = pm ?? am;
  const isClock = separator === ":";
  // "2:30" may be how long something takes.
  const isSure = Boolean(uhr ?? isTwelve) || (isClock && hours >= 6);
  if (!isSure && !isClock && (!at || separator)) return null;
  // Nobody means the night by "um 5".
  const isLate = pm || (!isSure && !isClock && hours < 7);
  const hour = (isTwelve ? Number(hours) % 12 : Number(hours)) + (isLate ? 12 : 0);
  if (hour > 23 || Number(minutes ?? 0) > 59 || (isTwelve && !(hours >= 1 && hours <= 12))) return null;
  const zeit = ZEITEN[hour < 12 ? 0 : hour < 18 ? 1 : 2];
  return { end: TIME[language].lastIndex, zeit, isWeak: !isSure, onlyBeside: isClock && !at, inTitle: true };
}

const DEADLINE = new RegExp(
  `!|(?:bis|by|due|f${AE}llig|sp${AE}testens)\\s+(?:(?:am|bis|by|on|sp${AE}testens|the|zum)\\s+)*`,
  "iuy",
);
const TAG = /#([^\s,#][^\s,]*),?/uy;
const KATEGORIE = expression("@(?:(arbeit|work)|privat|private|personal)");

/** What a sign or a word such as "bis" introduces at `start`. */
function markedAt(text, start, previous, context) {
  const tag = matchAt(TAG, text, start)?.[1];
  // "#42" is a number of something.
  if (tag && !/^[\d\p{P}]+$/u.test(tag)) return { end: TAG.lastIndex, field: "tags", tag: tag.normalize("NFC") };
  const kategorie = matchAt(KATEGORIE, text, start);
  if (kategorie) return { end: KATEGORIE.lastIndex, field: "kategorie", kategorie: kategorie[1] ? "arbeit" : "privat" };
  const mark = matchAt(DEADLINE, text, start)?.[0];
  const isSpan = previous?.date !== undefined && /^bis\s+(?:zum\s+)?$/iu.test(mark);
  const deadline = mark && !isSpan && dateAt(text, start + mark.length, context, true);
  return deadline ? { end: deadline.end, field: "deadline", date: deadline.date } : null;
}

const TO = /\s*(?:[-–]|bis(?:\s+zum)?\s|to\s|until\s|till\s)\s*/iuy;

/** The end of "Montag bis Freitag", whose first day ends at `end`; null if no other day follows. */
function endOfSpan(text, end, context) {
  const to = matchAt(TO, text, end);
  return to && dateAt(text, TO.lastIndex, context, true)?.end;
}

/** The expression at `start`, or null. One that belongs to the word before it sets no field. */
function expressionAt(text, start, previous, context) {
  const marked = markedAt(text, start, previous, context);
  if (marked) return { start, ...marked };
  const when = slotAt(text, start, previous, context) ?? dateAt(text, start, context) ?? timeAt(text, start, context);
  if (!when) return null;
  const end = when.date !== undefined && endOfSpan(text, when.end, context);
  if (end) return { start, end, date: when.date, isOfName: true };
  const word = previous && !previous.field ? text.slice(previous.start, previous.end).toLowerCase() : "";
  const isPart = (previous?.isOfName || previous?.field === "deadline") && when.date === undefined;
  const isOfName = isPart || BEFORE_A_NAME.has(word.normalize("NFC"));
  return isOfName ? { start, end: when.end, date: when.date, isOfName } : { start, field: "fixedSlot", ...when };
}

const QUOTED = /(?<=^|\s)(?:"[^"]+"|„[^“”"]+[“”"]|“[^”]+”|»[^«]+«|«[^»]+»|'[^'\s]+')\S*/gu;

/** The line's words and expressions in order, and the positions of backslashes that keep an expression a word. */
function readItems(text, context, kept) {
  const items = [];
  const escapes = [];
  const untouched = [
    ...kept.map(([start, end]) => ({ start, end, isKept: true })),
    ...[...text.matchAll(QUOTED)].map((it) => ({ start: it.index, end: it.index + it[0].length })),
  ];
  const free = (it) => it && !untouched.some(({ start, end }) => start < it.end && it.start < end) && it;
  const read = (start) => {
    const inside = untouched.find((it) => it.start <= start && start < it.end);
    // What is kept still says what the words beside it are.
    const meant = inside?.isKept && expressionAt(text, start, items.at(-1), context);
    if (inside) return { ...(meant?.end === inside.end && meant), ...inside, start };
    const word = { start, end: start + text.slice(start).match(/^\S+/u)[0].length };
    if (text[start] !== "\\") return free(expressionAt(text, start, items.at(-1), context)) || word;
    const escaped = free(expressionAt(text, start + 1, items.at(-1), context));
    if (escaped) escapes.push(start);
    return escaped ? { start, end: escaped.end } : word;
  };
  for (let start = text.search(/\S/u); start >= 0 && start < text.length;) {
    items.push(read(start));
    start = items.at(-1).end;
    start += text.slice(start).match(/^(?:[,;:.](?=\s|$))?\s*/u)[0].length;
  }
  return { items, escapes };
}

// --- Meaning ---

/**
 * Whether an expression means what it could. A weak one ("fr", "evening", "Mai 3") only does beside a day, slot or time,
 * or at the end, after which nothing but expressions follows: "Sa. anrufen" isn't about Saturday. The end isn't enough
 * for those that are `onlyBeside` others ("so", "do", "2:30").
 */
function isUnderstood(items, index) {
  if (!items[index].isWeak) return true;
  const isWhen = (it) => it?.field === "fixedSlot" && !it.isWeak;
  if (isWhen(items[index - 1]) || isWhen(items[index + 1])) return true;
  if (items[index].onlyBeside) return false;
  const isWord = (it) => !it.field && !it.isKept;
  return items.slice(0, index).some(isWord) && !items.slice(index + 1).some(isWord);
}

/** The first expression for each field. A slot that is named outranks a time of day: "8 Uhr abends". */
function takeFields(expressions) {
  const chips = [];
  const found = { tags: [] };
  for (const it of [...expressions].sort((a, b) => Number(a.inTitle ?? 0) - Number(b.inTitle ?? 0))) {
    const { field, date, zeit, tag, kategorie, weekly, after } = it;
    if (field === "tags") {
      if (!found.tags.includes(tag)) found.tags.push(tag);
    } else if (field === "fixedSlot") {
      const isSecond = (date !== undefined && found.date !== undefined) || (zeit && found.zeit);
      if (isSecond || (after && !chips.includes(after))) continue;
      if (date !== undefined) Object.assign(found, { date, weekly });
      if (zeit) found.zeit = zeit;
    } else {
      if (found[field] !== undefined) continue;
      found[field] = kategorie ?? date;
    }
    chips.push(it);
  }
  return { chips: chips.sort((a, b) => a.start - b.start), found };
}

const hasPassedBy = (today, time, zeit) =>
  time < timeOf(today.datum) || (time === timeOf(today.datum) && today.passed.includes(zeit));
const isTaken = (today, time, zeit) => today.taken.some((it) => timeOf(it.datum) === time && it.zeit === zeit);

/**
 * The slot. A day without a slot gets its first free one, a slot without a day the next day on which it is free. A
 * weekday is today if it can still be.
 */
function slotOf({ date, zeit, weekly }, today) {
  if (date === undefined && !zeit) return null;
  const now = timeOf(today.datum);
  const of = (days) => days.flatMap((time) => (zeit ? [zeit] : ZEITEN).map((it) => [time, it]));
  const isOpen = (slot) => !hasPassedBy(today, ...slot);
  const week = Array.from({ length: 8 }, (_, index) => now + index * ONE_DAY);
  let slots = of(date === undefined ? week : [date]);
  if (weekly && !slots.some(isOpen)) slots = of([date + 7 * ONE_DAY]);
  const open = slots.filter(isOpen);
  const [time, chosen] = open.find((slot) => !isTaken(today, ...slot)) ?? open[0] ?? slots.at(-1);
  return { datum: datumAt(time), zeit: chosen };
}

function obstacleOf(slot, today) {
  const of = [today, timeOf(slot.datum), slot.zeit];
  return hasPassedBy(...of) ? "passed" : isTaken(...of) ? "taken" : null;
}

/** "Pakete abholen, fr": a comma before what is taken out of the title goes with it. */
function takeComma(text, item, items) {
  const previous = items[items.indexOf(item) - 1];
  if (!previous || item.inTitle) return;
  const isWord = !previous.field && !previous.isKept;
  const separator = text.slice(isWord ? previous.start : previous.end, item.start).match(/[,;]\s*$/u);
  item.start -= separator?.[0].length ?? 0;
}

/** What is left of the text, with one space where something was taken out. */
function titleOf(text, chips, escapes) {
  const parts = [""];
  const cuts = chips.filter((it) => !it.inTitle);
  for (let at = 0; at < text.length; at += 1) {
    if (cuts[0]?.start === at) {
      at = cuts.shift().end - 1;
      parts.push("");
    } else if (!escapes.includes(at)) parts.push(parts.pop() + text[at]);
  }
  return parts
    .map((it) => it.trim())
    .filter(Boolean)
    .join(" ");
}

/**
 * The ranges of `kept` after an edit of the text. A range that was only shortened stays kept; one that something was
 * typed into, or joined to, is a new word.
 */
function keptAfterEdit(kept, before, after) {
  const shorter = Math.min(before.length, after.length);
  let from = 0;
  while (from < shorter && before[from] === after[from]) from += 1;
  let same = 0;
  while (same < shorter - from && before.at(-1 - same) === after.at(-1 - same)) same += 1;
  const to = before.length - same;
  const typed = after.slice(from, after.length - same);
  const longer = after.length - before.length;
  const moved = (at) => (at <= from ? at : at >= to ? at + longer : from);
  return kept.flatMap(([start, end]) => {
    if (from >= end) return from === end && /^\S/u.test(typed) ? [] : [[start, end]];
    if (to <= start) return to === start && /\S$/u.test(typed) ? [] : [[start + longer, end + longer]];
    return typed || moved(start) >= moved(end) ? [] : [[moved(start), moved(end)]];
  });
}
