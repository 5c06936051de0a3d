// What pages do more where scripts run: times in the viewer's zone, one key for a button, figures that stay current.
"use strict";

function localTimes(root) {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[datetime]")) {
    const when = new Date(time.dateTime);
    if (!Number.isNaN(when.getTime())) {
      time.title = time.dateTime;
      time.textContent = format.format(when);
    }
  }
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target instanceof Element && event.target.closest("input, textarea, select")) return;
  for (const button of document.querySelectorAll("[data-key]")) {
    if (button.dataset.key === event.key.toLowerCase()) {
      event.preventDefault();
      button.click();
      return;
    }
  }
});

async function refresh(main) {
  if (document.hidden || main.contains(document.activeElement) || main.querySelector("details[open]")) return;
  try {
    const answer = await fetch(location.href, { credentials: "same-origin" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    if (fresh) {
      localTimes(fresh);
      main.replaceChildren(...fresh.childNodes);
    }
  } catch {
    // The gateway is away: what was shown last stays.
  }
}

localTimes(document);
const main = document.querySelector("main[data-live]");
if (main) setInterval(() => refresh(main), 1000 * Number(main.dataset.live));
