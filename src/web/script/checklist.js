// Checklists in a task's text, decided from values: no DOM, no state.

const FENCE = /^ {0,3}(`{3,}|~{3,})/;
const ITEM = /^((?:\s|>|[-*+]\s|\d{1,9}[.)]\s)*(?:[-*+]|\d{1,9}[.)])\s+\[)([ xX])(\](?:\s|$))/;

/** The lines that have a box: their indices. What a fence encloses is code. */
function boxLines(lines) {
  let fence = null;
  const found = [];
  for (const [index, line] of lines.entries()) {
    const mark = FENCE.exec(line)?.[1];
    if (mark && !fence) fence = mark;
    else if (mark && mark.startsWith(fence)) fence = null;
    else if (!fence && ITEM.test(line)) found.push(index);
  }
  return found;
}

/**
 * The text with the box number `at` of `count` ticked, or no longer ticked. `null` if the text doesn't show `count` boxes
 * by its lines: then which one is meant isn't known. Nothing else changes.
 */
function withBox(body, at, count, isTicked) {
  const lines = body.split("\n");
  const boxes = boxLines(lines);
  if (boxes.length !== count) return null;
  lines[boxes[at]] = lines[boxes[at]].replace(ITEM, `$1${isTicked ? "x" : " "}$3`);
  return lines.join("\n");
}
