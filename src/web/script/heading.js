// A task's text and its title, decided from values: no DOM, no state. The title is the text's first heading, if it has one
// (`src/task/README.md`, "Front matter").

/** A `<textarea>` normalizes line endings to LF. */
const withLf = (text) => (text ?? "").replace(/\r\n?/g, "\n");

const HEADING = /^\n* {0,3}#{1,6}[ \t]+([^\n]*?)(?:[ \t]+#+)?[ \t]*(?:\n+|$)/;
const ANY_HEADING = /^[ \t>*+-]*#{1,6}[ \t]+\S|\S[^\n]*\n {0,3}(?:=+|-+)[ \t]*$/m;

/** A text in two parts: `head`, the heading that is the title, with the blank lines after it, and `body`, the rest. */
function splitBody({ title, body }) {
  const text = withLf(body);
  const [head, heading] = HEADING.exec(text) ?? ["", null];
  return heading === title ? { head, body: text.slice(head.length) } : { head: "", body: text };
}

/**
 * The whole text of a task that was `base`: what is written in the form, under the heading that isn't shown there. Where
 * the title was in no heading, it gets one before another heading would become the title.
 */
function joinBody(base, { title, body }) {
  const { head } = splitBody(base);
  if (head) return `${head.endsWith("\n") || !body ? head : `${head}\n\n`}${body}`;
  const isNew = !ANY_HEADING.test(withLf(base.body)) && ANY_HEADING.test(body);
  return isNew ? `# ${title}\n\n${body}` : body;
}
