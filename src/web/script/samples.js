// Sample tasks for an empty week: lines as one types them, so that they show what such a line can say.

let creatingSamples = false;
let sampleKeys = null; // An `Idempotency-Key` each: what failed half-way can be repeated.

async function createSamples() {
  const { generation } = state;
  if (creatingSamples || !canWrite()) return;
  const lines = words.empty.samples;
  sampleKeys ??= lines.map(newKey);
  creatingSamples = true;
  try {
    for (const [at, text] of lines.entries()) {
      const { fields } = parseQuickAdd(text, planningDay(), document.documentElement.lang);
      await postTask(fields, sampleKeys[at]);
    }
    sampleKeys = null;
    showMessage(words.empty.sampled);
  } catch (error) {
    if (generation === state.generation) handleError(error);
  } finally {
    creatingSamples = false;
  }
  if (generation === state.generation) await afterChange();
}
