// What pages do more where scripts run: times in the viewer's zone, one key for a button, figures that stay current,
// a picture that moves.
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

// A large picture in a frame: dragged, moved by arrow keys, zoomed by + and -, by buttons, or by the wheel with Ctrl. Only
// the finished drawing is moved, so thousands of shapes cost no more than one.
function movable(frame) {
  const picture = frame.querySelector("svg");
  const place = { x: 0, y: 0, scale: 1 };
  const show = () => { picture.style.transform = `translate(${place.x}px, ${place.y}px) scale(${place.scale})`; };
  const zoom = (factor, x = frame.clientWidth / 2, y = frame.clientHeight / 2) => {
    const scale = Math.min(Math.max(place.scale * factor, 0.02), 8);
    place.x = x - (x - place.x) * (scale / place.scale);
    place.y = y - (y - place.y) * (scale / place.scale);
    place.scale = scale;
    show();
  };
  const whole = () => {
    const box = picture.viewBox.baseVal;
    Object.assign(place, { x: 0, y: 0, scale: Math.min(frame.clientWidth / box.width, frame.clientHeight / box.height, 1) });
    show();
  };
  const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  frame.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key in steps) {
      place.x += steps[event.key][0];
      place.y += steps[event.key][1];
      show();
    } else return;
    event.preventDefault();
  });
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const box = frame.getBoundingClientRect();
    zoom(event.deltaY < 0 ? 1.25 : 0.8, event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  frame.addEventListener("pointerdown", (event) => frame.setPointerCapture(event.pointerId));
  frame.addEventListener("pointermove", (event) => {
    if (!frame.hasPointerCapture(event.pointerId)) return;
    place.x += event.movementX;
    place.y += event.movementY;
    show();
  });
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.hidden = false;
    button.addEventListener("click", () => (Number(button.dataset.zoom) ? zoom(Number(button.dataset.zoom)) : whole()));
  }
  frame.classList.add("moves");
}

const graph = document.getElementById("graph");
if (graph) movable(graph);
