// The grammar of quick add, without a browser: a table of lines, and properties of random ones.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const source = readFileSync(new URL("../../src/web/script/quick_add.js", import.meta.url), "utf8");
const { parseQuickAdd, keptAfterEdit } = new Function(`${source}\nreturn { parseQuickAdd, keptAfterEdit };`)();

const MONDAY = { datum: "30.11.2026", passed: [], taken: [] };

/** `[line, what it means]`: the title, then the slot, `!` and the deadline, tags, and `privat`, where there are any. */
const GERMAN = [
  ["", ""],
  ["Blumen gießen", "Blumen gießen"],
  [
    "Zahnarzt fr nachmittags #gesundheit !3.12. @privat",
    "Zahnarzt | 04.12.2026 nachmittags | !03.12.2026 | #gesundheit | privat",
  ],
  ["Zahnarzt, fr, nachmittags, #gesundheit, @privat", "Zahnarzt | 04.12.2026 nachmittags | #gesundheit | privat"],
  ["Pakete abholen, mo, Brief", "Pakete abholen, mo, Brief"],
  ["Pakete abholen, Montag, Brief", "Pakete abholen Brief | 30.11.2026 morgens"],
  ["Zahnarzt, 14:00, fr", "Zahnarzt, 14:00 | 04.12.2026 nachmittags"],

  // Days
  ["Zahnarzt heute", "Zahnarzt | 30.11.2026 morgens"],
  ["Zahnarzt morgen", "Zahnarzt | 01.12.2026 morgens"],
  ["morgen Zahnarzt", "Zahnarzt | 01.12.2026 morgens"],
  ["Zahnarzt übermorgen", "Zahnarzt | 02.12.2026 morgens"],
  ["Zahnarzt u\u0308bermorgen", "Zahnarzt | 02.12.2026 morgens"],
  ["Zahnarzt uebermorgen", "Zahnarzt | 02.12.2026 morgens"],
  ["Freitag Zahnarzt", "Zahnarzt | 04.12.2026 morgens"],
  ["Freitag: Zahnarzt", "Zahnarzt | 04.12.2026 morgens"],
  ["Zahnarzt am Freitag anrufen", "Zahnarzt anrufen | 04.12.2026 morgens"],
  ["Zahnarzt FREITAG", "Zahnarzt | 04.12.2026 morgens"],
  ["Zahnarzt montag", "Zahnarzt | 30.11.2026 morgens"],
  ["Zahnarzt sonnabend", "Zahnarzt | 05.12.2026 morgens | privat"],
  ["Zahnarzt nächsten Freitag", "Zahnarzt | 11.12.2026 morgens"],
  ["Zahnarzt na\u0308chsten freitag", "Zahnarzt | 11.12.2026 morgens"],
  ["Zahnarzt nächsten mo", "Zahnarzt | 07.12.2026 morgens"],
  ["Zahnarzt diesen Freitag", "Zahnarzt | 04.12.2026 morgens"],
  ["Zahnarzt Freitag nächste Woche", "Zahnarzt | 11.12.2026 morgens"],
  ["Zahnarzt nächste Woche fr", "Zahnarzt | 11.12.2026 morgens"],
  ["Zahnarzt heute!", "Zahnarzt | 30.11.2026 morgens"],
  ["Steuer nächste Woche", "Steuer | 07.12.2026 morgens"],
  ["Zahnarzt in 2 wochen", "Zahnarzt | 14.12.2026 morgens"],
  ["in einer Woche Zahnarzt", "Zahnarzt | 07.12.2026 morgens"],
  ["Zahnarzt in 3 Tagen", "Zahnarzt | 03.12.2026 morgens"],
  ["Zahnarzt in drei monaten", "Zahnarzt | 28.02.2027 morgens | privat"],
  ["Zahnarzt in 2 Jahrzehnten", "Zahnarzt in 2 Jahrzehnten"],

  // Dates
  ["Zahnarzt 3.12.", "Zahnarzt | 03.12.2026 morgens"],
  ["Zahnarzt 03.12.2026", "Zahnarzt | 03.12.2026 morgens"],
  ["Zahnarzt 3.12.26", "Zahnarzt | 03.12.2026 morgens"],
  ["Zahnarzt 2026-12-03", "Zahnarzt | 03.12.2026 morgens"],
  ["Zahnarzt am 3.12 nachmittags", "Zahnarzt | 03.12.2026 nachmittags"],
  ["Zahnarzt Do 3.12.", "Zahnarzt | 03.12.2026 morgens"],
  ["Zahnarzt Donnerstag, den 3.12., abends", "Zahnarzt | 03.12.2026 abends"],
  ["Zahnarzt Donnerstag, 3. Dezember", "Zahnarzt | 03.12.2026 morgens"],
  ["Zahnarzt 30.11.", "Zahnarzt | 30.11.2026 morgens"],
  ["Zahnarzt 29.11.", "Zahnarzt | 29.11.2027 morgens"],
  ["Zahnarzt 29.11.2026", "Zahnarzt | 29.11.2026 abends | privat | passed"],
  ["Zahnarzt 29.2.", "Zahnarzt | 29.02.2028 morgens"],
  ["Zahnarzt 31.2.", "Zahnarzt 31.2."],
  ["Zahnarzt 32.12.2026", "Zahnarzt 32.12.2026"],
  ["Zahnarzt 2026-13-01", "Zahnarzt 2026-13-01"],
  ["Demo 1. Mai", "Demo | 01.05.2027 morgens | privat"],
  ["3 Mär 2027 Demo", "Demo | 03.03.2027 morgens"],
  ["Version 1.2. testen", "Version 1.2. testen"],
  ["Python 3.12 installieren", "Python 3.12 installieren"],
  ["Urlaub 3.12.-10.12.", "Urlaub 3.12.-10.12."],
  ["Mai planen", "Mai planen"],
  ["Mai 3 Kisten packen", "Mai 3 Kisten packen"],
  ["Kapitel 3 Mai lesen", "Kapitel 3 Mai lesen"],
  ["Jan 12 Bücher geben", "Jan 12 Bücher geben"],
  ["Demo 1 Mai", "Demo | 01.05.2027 morgens | privat"],
  ["Demo am 1 Mai planen", "Demo planen | 01.05.2027 morgens | privat"],

  // Slots and times
  ["Laufen nachmittags", "Laufen | 30.11.2026 nachmittags"],
  ["morgens laufen", "laufen | 30.11.2026 morgens"],
  ["Laufen vormittags", "Laufen | 30.11.2026 morgens"],
  ["Laufen am Abend", "Laufen | 30.11.2026 abends"],
  ["am Morgen laufen", "laufen | 30.11.2026 morgens"],
  ["heute Abend laufen", "laufen | 30.11.2026 abends"],
  ["morgen früh laufen", "laufen | 01.12.2026 morgens"],
  ["Laufen morgen fru\u0308h", "Laufen | 01.12.2026 morgens"],
  ["Laufen Freitag Morgen", "Laufen | 04.12.2026 morgens"],
  ["Laufen freitagabend", "Laufen | 04.12.2026 abends"],
  ["Laufen fr abend", "Laufen | 04.12.2026 abends"],
  ["Einen schönen Abend planen", "Einen schönen Abend planen"],
  ["Guten Morgen Karte", "Guten Morgen Karte"],
  ["Zahnarzt fr 14:00", "Zahnarzt 14:00 | 04.12.2026 nachmittags"],
  ["Zahnarzt fr um 14:30 Uhr", "Zahnarzt um 14:30 Uhr | 04.12.2026 nachmittags"],
  ["Zahnarzt fr 9 uhr", "Zahnarzt 9 uhr | 04.12.2026 morgens"],
  ["Zahnarzt fr 9uhr", "Zahnarzt 9uhr | 04.12.2026 morgens"],
  ["Zahnarzt fr 9.30 Uhr", "Zahnarzt 9.30 Uhr | 04.12.2026 morgens"],
  ["Zahnarzt fr um 9", "Zahnarzt um 9 | 04.12.2026 morgens"],
  ["Zahnarzt fr um 5", "Zahnarzt um 5 | 04.12.2026 nachmittags"],
  ["Es geht um 9 Euro", "Es geht um 9 Euro"],
  ["Zahnarzt 11:59", "Zahnarzt 11:59 | 30.11.2026 morgens"],
  ["Zahnarzt 12:00", "Zahnarzt 12:00 | 30.11.2026 nachmittags"],
  ["Zahnarzt 17:59", "Zahnarzt 17:59 | 30.11.2026 nachmittags"],
  ["Zahnarzt 18:00", "Zahnarzt 18:00 | 30.11.2026 abends"],
  ["Besprechung fr 14:00-15:30", "Besprechung 14:00-15:30 | 04.12.2026 nachmittags"],
  ["Feier ab 19 Uhr sa", "Feier ab 19 Uhr | 05.12.2026 abends | privat"],
  ["um 8 Uhr abends lesen", "um 8 Uhr lesen | 30.11.2026 abends"],
  ["Zahnarzt 24:00", "Zahnarzt 24:00"],
  ["Zahnarzt 9:75", "Zahnarzt 9:75"],
  ["Video 2:30 min kürzen", "Video 2:30 min kürzen"],
  ["Video auf 2:30 kürzen", "Video auf 2:30 kürzen"],
  ["Video kürzen auf 0:45", "Video kürzen auf 0:45"],
  ["Marathon 5:59 laufen", "Marathon 5:59 laufen"],
  ["Marathon 6:00 laufen", "Marathon 6:00 laufen | 30.11.2026 morgens"],
  ["Flug Freitag 5:30", "Flug 5:30 | 04.12.2026 morgens"],
  ["Aufstehen um 5:30", "Aufstehen um 5:30 | 30.11.2026 morgens"],
  ["Flug 5:30 Uhr", "Flug 5:30 Uhr | 30.11.2026 morgens"],
  ["Treffen 9 am Bahnhof", "Treffen 9 am Bahnhof"],
  ["14 Bücher", "14 Bücher"],

  // Short days, which may be words
  ["Mo anrufen", "Mo anrufen"],
  ["Mo", "Mo"],
  ["Mo 14:00 anrufen", "14:00 anrufen | 30.11.2026 nachmittags"],
  ["fr nachmittags Zahnarzt", "Zahnarzt | 04.12.2026 nachmittags"],
  ["so schnell wie möglich anrufen", "so schnell wie möglich anrufen"],
  ["Oma besuchen so", "Oma besuchen so"],
  ["Oma besuchen am so", "Oma besuchen | 06.12.2026 morgens | privat"],
  ["Oma besuchen so 14:00", "Oma besuchen 14:00 | 06.12.2026 nachmittags | privat"],
  ["Mach das auch so #schnell", "Mach das auch so | #schnell"],
  ["Liste to do, Freitag", "Liste to do | 04.12.2026 morgens"],
  ["Mach es oder so", "Mach es oder so"],
  ["To do Liste", "To do Liste"],
  ["Do it", "Do it"],
  ["Liste to do", "Liste to do"],
  ["Zahnarzt do #gesundheit", "Zahnarzt do | #gesundheit"],
  ["Zahnarzt do nachmittags #gesundheit", "Zahnarzt | 03.12.2026 nachmittags | #gesundheit"],
  ["Zahnarzt do", "Zahnarzt do"],
  ["Zahnarzt mi.", "Zahnarzt | 02.12.2026 morgens"],
  ["Fr. Müller anrufen", "Fr. Müller anrufen"],
  ["Zahnarzt am fr anrufen", "Zahnarzt anrufen | 04.12.2026 morgens"],
  ["Treffen mit Mo", "Treffen mit Mo"],
  ["an die Steuer denken di", "an die Steuer denken di"],
  ["Brief an Oma sa abends", "Brief an Oma | 05.12.2026 abends | privat"],

  // Days that belong to something else
  ["Rechnung vom 3.12. prüfen", "Rechnung vom 3.12. prüfen"],
  ["Präsentation für Freitag morgen", "Präsentation für Freitag morgen"],
  ["jeden Freitag Müll", "jeden Freitag Müll"],
  ["Urlaub von Montag bis Freitag", "Urlaub von Montag bis Freitag"],
  ["Urlaub Montag bis Freitag", "Urlaub Montag bis Freitag"],
  ["Urlaub 3.12. bis 10.12. beantragen", "Urlaub 3.12. bis 10.12. beantragen"],
  ["Urlaub 3.12. bis zum 10.12.", "Urlaub 3.12. bis zum 10.12."],
  ["Urlaub 3.12. - 10.12.", "Urlaub 3.12. - 10.12."],
  ["Urlaub Do 3.12. – Do 10.12. #frei", "Urlaub Do 3.12. – Do 10.12. | #frei"],
  ["Dienst mo bis fr", "Dienst mo bis fr"],
  ["heute - morgen ist auch ein Tag", "heute - morgen ist auch ein Tag"],
  ["Freitag - Zahnarzt", "- Zahnarzt | 04.12.2026 morgens"],
  ["Der Freitag abbestellen", "Der Freitag abbestellen"],
  ["Freitagsgebet", "Freitagsgebet"],
  ["heute-show ansehen", "heute-show ansehen"],

  // Deadlines
  ["Steuer !3.12.", "Steuer | !03.12.2026"],
  ["Steuer !3.12", "Steuer | !03.12.2026"],
  ["!03.12.2026 Steuer", "Steuer | !03.12.2026"],
  ["Steuer !2026-12-03 fertig", "Steuer fertig | !03.12.2026"],
  ["Steuer !fr", "Steuer | !04.12.2026"],
  ["Steuer !so, machen", "Steuer machen | !06.12.2026"],
  ["Steuer !morgen", "Steuer | !01.12.2026"],
  ["Steuer !in 2 Wochen", "Steuer | !14.12.2026"],
  ["Steuer !nächsten Freitag", "Steuer | !11.12.2026"],
  ["Steuer bis Freitag", "Steuer | !04.12.2026"],
  ["Steuer bis zum 31.1.", "Steuer | !31.01.2027"],
  ["Steuer bis spätestens Freitag", "Steuer | !04.12.2026"],
  ["Steuer fa\u0308llig am 3.12.", "Steuer | !03.12.2026"],
  ["Steuer bis so", "Steuer | !06.12.2026"],
  ["Steuer mo !fr", "Steuer mo | !04.12.2026"],
  ["Steuer montag !fr", "Steuer | 30.11.2026 morgens | !04.12.2026"],
  ["Steuer Montag, fällig Freitag", "Steuer | 30.11.2026 morgens | !04.12.2026"],
  ["Steuer Montag bis spätestens Freitag", "Steuer | 30.11.2026 morgens | !04.12.2026"],
  ["Steuer bis Freitag 14:00", "Steuer 14:00 | !04.12.2026"],
  ["Steuer bis morgen Abend", "Steuer Abend | !01.12.2026"],
  ["Steuer !wichtig", "Steuer !wichtig"],
  ["Steuer!", "Steuer!"],
  ["Steuer ! 3.12.", "Steuer ! | 03.12.2026 morgens"],

  // Tags and categories
  ["Zahnarzt #a #b", "Zahnarzt | #a #b"],
  ["#a,#b, Zahnarzt", "Zahnarzt | #a #b"],
  ["#a Zahnarzt #a", "Zahnarzt | #a"],
  ["Zahnarzt #gru\u0308n", "Zahnarzt | #grün"],
  ["Zahnarzt #node.js #c++ #🏠", "Zahnarzt | #node.js #c++ #🏠"],
  ["Fehler #42 beheben", "Fehler #42 beheben"],
  ["C# lernen # ##", "C# lernen # ##"],
  ["Zahnarzt @privat", "Zahnarzt | privat"],
  ["Zahnarzt sa @arbeit", "Zahnarzt | 05.12.2026 morgens"],
  ["Zahnarzt @arbeit @privat", "Zahnarzt @privat"],
  ["@anna fragen", "@anna fragen"],
  ["an a@b.de schreiben", "an a@b.de schreiben"],

  // The first stands
  ["Zahnarzt freitag samstag", "Zahnarzt samstag | 04.12.2026 morgens"],
  ["Zahnarzt 3.12. 4.12. nachmittags", "Zahnarzt 4.12. | 03.12.2026 nachmittags"],
  ["Zahnarzt morgens abends", "Zahnarzt abends | 30.11.2026 morgens"],
  ["Zahnarzt freitag, Feier samstag abend", "Zahnarzt Feier samstag abend | 04.12.2026 morgens"],
  ["Steuer !3.12. !4.12.", "Steuer !4.12. | !03.12.2026"],
  ["Zahnarzt 9:00 14:00", "Zahnarzt 9:00 14:00 | 30.11.2026 morgens"],

  // Words that stay words
  ['"Freitag" lesen', '"Freitag" lesen'],
  ["„Schwarzer Freitag im Mai“ lesen morgen", "„Schwarzer Freitag im Mai“ lesen | 01.12.2026 morgens"],
  ['"Black Friday #1" lesen', '"Black Friday #1" lesen'],
  ["\\Freitag lesen", "Freitag lesen"],
  ["\\#eins lesen \\@privat \\!3.12.", "#eins lesen @privat !3.12."],
  ["C:\\temp leeren \\o/", "C:\\temp leeren \\o/"],
  ["  Zahnarzt \t fr  ", "Zahnarzt | 04.12.2026 morgens"],
  ["Zwei  Leerzeichen", "Zwei  Leerzeichen"],
];

const ENGLISH = [
  [
    "Dentist fri afternoon #health !2026-12-03 @private",
    "Dentist | 04.12.2026 nachmittags | !03.12.2026 | #health | privat",
  ],
  ["Dentist today", "Dentist | 30.11.2026 morgens"],
  ["Dentist tomorrow", "Dentist | 01.12.2026 morgens"],
  ["Dentist the day after tomorrow", "Dentist | 02.12.2026 morgens"],
  ["Friday dentist", "dentist | 04.12.2026 morgens"],
  ["Call Bob next friday at 2pm", "Call Bob at 2pm | 11.12.2026 nachmittags"],
  ["Call Bob this fri", "Call Bob | 04.12.2026 morgens"],
  ["Call Bob friday next week", "Call Bob | 11.12.2026 morgens"],
  ["Call Bob in 3 days", "Call Bob | 03.12.2026 morgens"],
  ["Call Bob in a week", "Call Bob | 07.12.2026 morgens"],
  ["Call Bob in two months", "Call Bob | 30.01.2027 morgens | privat"],
  ["Call Bob on Dec 3rd", "Call Bob | 03.12.2026 morgens"],
  ["Call Bob 3 December 2027", "Call Bob | 03.12.2027 morgens"],
  ["Call Bob 3rd of December", "Call Bob | 03.12.2026 morgens"],
  ["It may rain", "It may rain"],
  ["May 2 people come", "May 2 people come"],
  ["Call Bob dec 3", "Call Bob | 03.12.2026 morgens"],
  ["Call Bob on the 3rd of December", "Call Bob | 03.12.2026 morgens"],
  ["Fly 5:30 am", "Fly 5:30 am | 30.11.2026 morgens"],
  ["Cut it to 2:30", "Cut it to 2:30"],
  ["Call Bob 9 am", "Call Bob 9 am | 30.11.2026 morgens"],
  ["Call Bob 12am", "Call Bob 12am | 30.11.2026 morgens"],
  ["Call Bob 2:30 pm", "Call Bob 2:30 pm | 30.11.2026 nachmittags"],
  ["Call Bob 13pm", "Call Bob 13pm"],
  ["Run in the morning", "Run | 30.11.2026 morgens"],
  ["Run tomorrow night", "Run | 01.12.2026 abends"],
  ["Run tonight", "Run | 30.11.2026 abends"],
  ["Run this evening", "Run | 30.11.2026 abends"],
  ["Run evening", "Run | 30.11.2026 abends"],
  ["Evening class friday", "Evening class | 04.12.2026 morgens"],
  ["Good morning message", "Good morning message"],
  ["Do the dishes on sun", "Do the dishes | 06.12.2026 morgens | privat"],
  ["Do the dishes sun afternoon", "Do the dishes | 06.12.2026 nachmittags | privat"],
  ["Sun cream", "Sun cream"],
  ["Sit in the sun", "Sit in the sun"],
  ["Enjoy sun", "Enjoy sun"],
  ["Holiday monday to friday", "Holiday monday to friday"],
  ["Holiday Monday until Friday plan", "Holiday Monday until Friday plan"],
  ["What to do", "What to do"],
  ["Do it so", "Do it so"],
  ["Report by friday", "Report | !04.12.2026"],
  ["Report due by friday", "Report | !04.12.2026"],
  ["Report monday due friday", "Report | 30.11.2026 morgens | !04.12.2026"],
  ["Report monday by friday", "Report | 30.11.2026 morgens | !04.12.2026"],
  ["Lunch noon", "Lunch | 30.11.2026 nachmittags"],
  ["Pick up the kids at 5", "Pick up the kids at 5 | 30.11.2026 nachmittags"],
  ["Report due dec 3", "Report | !03.12.2026"],
  ["Buy bread for tomorrow", "Buy bread for tomorrow"],
  ["Every friday trash", "Every friday trash"],
  ["Dentist freitag nachmittags @work", "Dentist | 04.12.2026 nachmittags"],
  ["Gym sat @personal", "Gym | 05.12.2026 morgens | privat"],
];

const FRIDAY_NOON = {
  datum: "04.12.2026",
  passed: ["morgens"],
  taken: [
    { datum: "04.12.2026", zeit: "nachmittags" },
    { datum: "05.12.2026", zeit: "abends" },
    ...["morgens", "nachmittags", "abends"].map((zeit) => ({ datum: "06.12.2026", zeit })),
  ],
};

/** On a Friday at noon. Its morning has passed; fixed tasks hold its afternoon, Saturday's evening and all of Sunday. */
const LATER = [
  ["Zahnarzt heute", "Zahnarzt | 04.12.2026 abends"],
  ["Zahnarzt freitag", "Zahnarzt | 04.12.2026 abends"],
  ["Zahnarzt freitag morgens", "Zahnarzt | 11.12.2026 morgens"],
  ["Zahnarzt heute morgens", "Zahnarzt | 04.12.2026 morgens | passed"],
  ["Zahnarzt heute nachmittags", "Zahnarzt | 04.12.2026 nachmittags | taken"],
  ["Zahnarzt nachmittags", "Zahnarzt | 05.12.2026 nachmittags | privat"],
  ["Zahnarzt morgens", "Zahnarzt | 05.12.2026 morgens | privat"],
  ["Zahnarzt abends", "Zahnarzt | 04.12.2026 abends"],
  ["Zahnarzt sa", "Zahnarzt | 05.12.2026 morgens | privat"],
  ["Zahnarzt am so", "Zahnarzt | 06.12.2026 morgens | privat | taken"],
  ["Zahnarzt nächsten freitag", "Zahnarzt | 11.12.2026 morgens"],
  ["Zahnarzt am do", "Zahnarzt | 10.12.2026 morgens"],
];
const EVENING = [
  ["Zahnarzt freitag", "Zahnarzt | 11.12.2026 morgens"],
  ["Zahnarzt heute", "Zahnarzt | 04.12.2026 abends | passed"],
  ["Zahnarzt abends", "Zahnarzt | 05.12.2026 abends | privat"],
];

function meaning({ title, fields: { kategorie, deadline, fixedSlot, tags }, obstacle }) {
  const parts = [
    title,
    fixedSlot && `${fixedSlot.datum} ${fixedSlot.zeit}`,
    deadline && `!${deadline}`,
    tags.map((tag) => `#${tag}`).join(" "),
    kategorie === "privat" && kategorie,
    obstacle,
  ];
  return parts.filter(Boolean).join(" | ");
}

const tables = [
  [GERMAN, MONDAY, "de"],
  [ENGLISH, MONDAY, "en"],
  [LATER, FRIDAY_NOON, "de"],
  [EVENING, { ...FRIDAY_NOON, passed: ["morgens", "nachmittags", "abends"], taken: [] }, "de"],
];
let rows = 0;
const wrong = [];
for (const [table, today, language] of tables) {
  for (const [line, expected] of table) {
    const parsed = parseQuickAdd(line, today, language);
    losesNothing(line, parsed);
    isAcceptable(parsed);
    const read = meaning(parsed);
    if (read !== expected) wrong.push({ line, expected, read });
    rows += 1;
  }
}
assert.deepEqual(wrong, []);
console.log(`${rows} lines mean what they should`);

// --- Properties ---

/** A random number generator (mulberry32): the same seed, the same texts. */
function generator(seed) {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const PIECES = [
  ..."so mo di mi do fr sa Freitag friday mon sun heute morgen Morgen übermorgen u\u0308bermorgen tomorrow".split(" "),
  ..."nächsten next diesen am den bis by für jeden in 2 3 wochen days einer Woche week abend früh night the".split(" "),
  ..."3.12. 3.12 31.2. 03.12.2026 2026-12-03 Mai 1. dec 3rd 14:00 9 uhr 2pm um at 25:00 14:00-16:00".split(" "),
  ..."morgens nachmittags abends evening tonight #a #b, #a,#b #42 # @privat @work @anna @ ! !3.12. !fr !x".split(" "),
  ...'Zahnarzt anrufen Müller C# 👩‍👩‍👧 e\u0301 \\ \\fr \\#a " "fr" „ “ \'fr\' , . ; : ( - ß \u0000 \ud800 \u00a0 \u202e'.split(
    " ",
  ),
];

function randomText(random) {
  let text = "";
  for (let count = random(10); count > 0; count -= 1) {
    const odd = String.fromCodePoint(random(0x3000));
    text += random(12) ? PIECES[random(PIECES.length)] : odd;
    text += ["", " ", " ", " ", " ", "  ", ",", ", ", "\t"][random(9)];
  }
  return text;
}

function visible(text) {
  return text.replace(/\s/g, "");
}

function inside(at) {
  return (range) => range.start <= at && at < range.end;
}

/** Every character is in the title, in a chip, or a backslash that had an effect; the title has them in their order. */
function losesNothing(text, { title, chips, escapes }) {
  const rest = [];
  for (let at = 0; at < text.length; at += 1) {
    if (!escapes.includes(at) && !chips.some((chip) => !chip.inTitle && inside(at)(chip))) rest.push(text[at]);
  }
  assert.equal(visible(title), visible(rest.join("")));
  assert.equal(title, title.trim());
  let from = 0;
  for (const { start, end, text: shown } of chips) {
    assert.ok(from <= start && start < end && end <= text.length, "in order, and apart");
    assert.equal(shown, text.slice(start, end));
    from = end;
  }
  for (const at of escapes) assert.ok(text[at] === "\\" && !chips.some(inside(at)));
}

function isAcceptable({ chips, fields: { kategorie, deadline, fixedSlot, tags } }) {
  const isDate = (datum) =>
    new Date(datum.split(".").reverse().join("-")).toISOString().slice(0, 10).split("-").reverse().join(".") === datum;
  assert.ok(["arbeit", "privat"].includes(kategorie));
  assert.ok(deadline === null || isDate(deadline), deadline);
  assert.ok(fixedSlot === null || (isDate(fixedSlot.datum) && "morgens nachmittags abends".includes(fixedSlot.zeit)));
  for (const { field, datum, zeit } of chips.filter((it) => it.field === "fixedSlot" || it.field === "deadline")) {
    assert.ok(datum === undefined || datum === (field === "deadline" ? deadline : fixedSlot.datum), "the day shown");
    assert.ok(zeit === undefined || zeit === fixedSlot.zeit, "the slot shown");
  }
  assert.ok(tags.every((tag) => /^[^\s,#][^\s,]*$/u.test(tag)) && new Set(tags).size === tags.length);
}

/** Removing a chip makes its text title text, which isn't read again; what the other chips say stays. */
function removingPutsBack(text, today, language, kept) {
  const before = parseQuickAdd(text, today, language, kept);
  for (const chip of before.chips) {
    const range = [chip.start, chip.end];
    const after = parseQuickAdd(text, today, language, [...kept, range]);
    losesNothing(text, after);
    assert.ok(!after.chips.some((it) => it.start < chip.end && chip.start < it.end), `${chip.text} is read again`);
    assert.ok(visible(after.title).includes(visible(chip.text)), `${chip.text} is in the title`);
    for (const it of before.chips.filter(({ field }) => field !== chip.field))
      assert.ok(
        after.chips.some(({ start, end }) => start === it.start && end === it.end),
        `${it.text} stays`,
      );
  }
  return before.chips.map(({ start, end }) => [start, end]);
}

/** An edit keeps what it doesn't touch; whatever it does, ranges stay ranges. */
function editing(text, kept, random) {
  const from = random(text.length + 1);
  const to = Math.min(text.length, from + [0, 0, 1, 3][random(4)]);
  // A private character makes it unambiguous what was typed.
  const typed = ["\ue000", "\ue000 ", " \ue000", ""][random(4)];
  const after = text.slice(0, from) + typed + text.slice(to);
  const ranges = keptAfterEdit(kept, text, after);
  let end = 0;
  for (const range of ranges) {
    assert.ok(end <= range[0] && range[0] < range[1] && range[1] <= after.length, "in order, and apart");
    end = range[1];
  }
  if (!typed) return;
  const untouched = kept.filter(([first, last]) => last < from || to < first);
  const texts = ranges.map((range) => after.slice(...range));
  for (const range of untouched) assert.ok(texts.includes(text.slice(...range)), "what wasn't touched stays kept");
  assert.ok(!texts.some((it) => it.includes("\ue000")), "nothing becomes kept");
}

const EDITS = [
  // Before, what is kept, after, what is kept then.
  ["Arzt fr", [[5, 7]], "Arzt fr ", [[5, 7]]],
  ["Arzt fr", [[5, 7]], "Arzt f", [[5, 6]]],
  ["Arzt fr", [[5, 7]], "Arzt ", []],
  ["Arzt fr", [[5, 7]], "Arzt freitag", []],
  ["Arzt fr", [[5, 7]], "Zahnarzt fr", [[9, 11]]],
  ["Arzt fr", [[5, 7]], "Arzt !fr", []],
  ["Arzt fr", [[5, 7]], "Arzt mo", []],
  [
    "a fr b #c",
    [
      [2, 4],
      [7, 9],
    ],
    "a fr #c",
    [
      [2, 4],
      [5, 7],
    ],
  ],
];
for (const [before, kept, after, expected] of EDITS)
  assert.deepEqual(keptAfterEdit(kept, before, after), expected, `${before} → ${after}`);

const TEXTS = 20_000;
let found = 0;
for (let seed = 0; seed < TEXTS; seed += 1) {
  const random = generator(seed);
  const text = randomText(random);
  const today = [MONDAY, FRIDAY_NOON][random(2)];
  const language = ["de", "en"][random(2)];
  try {
    const read = parseQuickAdd(text, today, language);
    losesNothing(text, read);
    isAcceptable(read);
    found += read.chips.length;
    let kept = [];
    for (let all = removingPutsBack(text, today, language, kept); all.length;) {
      kept = [...kept, all[random(all.length)]];
      all = removingPutsBack(text, today, language, kept);
    }
    kept.sort(([a], [b]) => a - b);
    editing(text, kept, random);
  } catch (error) {
    console.error(`seed ${seed}: ${JSON.stringify(text)}`);
    throw error;
  }
}
assert.ok(found > TEXTS / 2, `the texts have expressions: ${found}`);
console.log(`${TEXTS} random lines with ${found} chips lose nothing, and a removed chip is text again`);
