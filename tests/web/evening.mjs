// In the evening nothing is left of today: the page says so, and tomorrow is what one works from.
import assert from "node:assert/strict";
import { complete, said } from "./steps.mjs";
import { isSound, picture, scenario, visit } from "./support.mjs";

await scenario("evening", async ({ browser, urls: [url] }) => {
  const page = await visit(browser, url);
  await page.getByText("Heute ist vorbei").waitFor();
  const first = page.locator(".day").first();
  assert.equal(await first.getByRole("heading").innerText(), "Morgen, Di 1. Dez");
  assert.equal(await page.locator("[aria-current]").count(), 0);
  const title = await first.getByRole("article").first().getByRole("link").innerText();
  await complete(page, title);
  await said(page, `„${title}“ ist erledigt.`);
  // The demo has one that is done, too.
  await page.getByRole("link", { name: "2 erledigt" }).click();
  await page.getByRole("heading", { name: "Mo 30. Nov" }).waitFor();
  await page.goBack();
  for (const size of ["desktop", "phone", "device"]) {
    const other = await visit(browser, url, { size });
    await isSound(other, `evening ${size}`);
    await picture(other, `evening-${size}`);
    await other.context().close();
  }
});
