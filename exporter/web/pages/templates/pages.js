// Refreshes what changes without losing place, and shows times in the reader's zone.
const EVERY_SECONDS = 15;
const LONGEST_SECONDS = 10;
const gone = document.getElementById("gone");
let seen = new Date();

function localTimes() {
  for (const time of document.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const text = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
    if (time.classList.contains("clock")) time.textContent = text;
    else time.title = text;
  }
  for (const title of document.querySelectorAll("svg title[data-at]")) {
    title.textContent = title.textContent.replace(title.dataset.at, new Date(title.dataset.at).toLocaleString());
  }
}

function replace(old, fresh) {
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const links = (part) => [...part.querySelectorAll("a, [tabindex]")];
  const place = focused && links(old).indexOf(focused);
  const scrolled = [...old.querySelectorAll(".scroll")].map((part) => part.scrollLeft);
  old.replaceWith(fresh);
  fresh.querySelectorAll(".scroll").forEach((part, at) => { part.scrollLeft = scrolled[at] ?? 0; });
  if (!focused) return;
  const same = focused.matches("a") && links(fresh).find((link) => link.href === focused.href);
  (same || links(fresh)[place])?.focus({ preventScroll: true });
}

async function refresh() {
  if (document.hidden || !document.getSelection().isCollapsed) return;
  try {
    const signal = AbortSignal.timeout(LONGEST_SECONDS * 1000);
    const answer = await fetch(location.href, { cache: "no-store", signal });
    if (!answer.ok) return outdated(`The exporter answers: ${answer.status} ${answer.statusText}.`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(old.id);
      if (fresh) replace(old, fresh);
    }
    seen = new Date();
    gone.hidden = true;
    localTimes();
  } catch {
    outdated("The exporter does not answer.");
  }
}

function outdated(why) {
  const [reason, from] = gone.querySelectorAll("span");
  reason.textContent = why;
  from.textContent = seen.toLocaleTimeString();
  gone.hidden = false;
}

localTimes();
if (document.querySelector("[data-live]")) {
  setInterval(refresh, EVERY_SECONDS * 1000);
  document.addEventListener("visibilitychange", refresh);
}
