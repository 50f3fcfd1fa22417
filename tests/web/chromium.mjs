// Debian's Chromium, driven by playwright-core, without the features that a test machine doesn't need.
import { chromium } from "../node_modules/playwright-core/index.mjs";

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export const launch = () => chromium.launch({ executablePath: "/usr/bin/chromium", args: FLAGS });
