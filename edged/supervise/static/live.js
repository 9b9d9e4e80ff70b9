/* Keeps an open page true: takes the changed parts from the server and changes the page only where it differs, so that a
 * clip goes on playing, an opened list stays open and the focus stays where it is. Renews the cameras' pictures, and
 * plays an incident's clip in a window over the page.
 *
 * An element with `data-live` and the id `live-NAME` is the part NAME. `data-keep="a b"` names attributes that belong to
 * the browser and are left alone. Children with an id are told apart by it.
 */

const body = document.body;
const connection = document.getElementById("connection");

// -------------------------------------------------------------------------------- changing in place

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.id : "");

function patch(have, want) {
  if (have.nodeType !== Node.ELEMENT_NODE) {
    if (have.data !== want.data) have.data = want.data;
    return;
  }
  const kept = new Set((have.dataset.keep || "").split(" "));
  if (have.localName === "details") kept.add("open");
  if (have.localName === "edged-player") for (const name of ["class", "role", "aria-label"]) kept.add(name);
  for (const { name } of [...have.attributes]) {
    if (!want.hasAttribute(name) && !kept.has(name)) have.removeAttribute(name);
  }
  for (const { name, value } of [...want.attributes]) {
    if (have.getAttribute(name) !== value && !kept.has(name)) have.setAttribute(name, value);
  }
  if (have.localName !== "edged-player") patchChildren(have, want);
}

function patchChildren(have, want) {
  const known = new Map([...have.children].filter((child) => child.id).map((child) => [child.id, child]));
  let at = have.firstChild;
  for (const child of [...want.childNodes]) {
    const key = keyOf(child);
    let match = key ? known.get(key) : at && !keyOf(at) ? at : null;
    if (match && match.nodeName !== child.nodeName) match = null;
    if (!match) {
      have.insertBefore(child, at);
    } else {
      if (match === at) at = at.nextSibling;
      else have.insertBefore(match, at);
      patch(match, child);
    }
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

function take(parts) {
  for (const [name, html] of Object.entries(parts)) {
    const place = document.getElementById(`live-${name}`);
    if (!place) continue;
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    patchChildren(place, fresh.content);
  }
  followTheatre();
}

// -------------------------------------------------------------------------------------- connection

function say(tone, text) {
  connection.className = `badge ${tone}`;
  connection.textContent = text;
  body.classList.toggle("lost", tone === "bad");
}

function connect() {
  const source = new EventSource(body.dataset.events);
  source.addEventListener("hello", (event) => {
    // edged was updated meanwhile: this page's own files are the old ones
    if (JSON.parse(event.data).version !== body.dataset.version) window.location.reload();
    else say("ok", "Live");
  });
  source.addEventListener("parts", (event) => take(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    say("bad", "No connection to edged");
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    setTimeout(connect, 3000);
  });
  window.addEventListener("pagehide", () => source.close());
}

if (body.dataset.events) connect();

// ---------------------------------------------------------------------------------------- pictures

let turn = 0;

async function renew(picture) {
  turn += 1;
  const next = picture.cloneNode();
  next.src = `${picture.dataset.picture}?turn=${turn}`;
  try {
    await next.decode();
    picture.replaceWith(next);
  } catch {
    // no picture now: the old one stays, and the camera's words say what is wrong
  }
}

async function watch() {
  for (;;) {
    await new Promise((resume) => setTimeout(resume, Number(body.dataset.every || 1) * 1000));
    if (document.visibilityState === "hidden" || body.classList.contains("lost")) continue;
    await Promise.all([...document.querySelectorAll("img[data-picture]")].map(renew));
  }
}

watch();

// ----------------------------------------------------------------------------------------- theatre

const theatre = document.getElementById("theatre");
let shown = ""; // the id of the incident's card that is being played

function open(link) {
  shown = link.closest("[id]").id;
  document.getElementById("theatre-title").textContent = link.dataset.title;
  document.getElementById("theatre-more").href = link.href;
  const player = document.createElement("edged-player");
  player.dataset.parts = link.dataset.parts;
  if (link.dataset.poster) player.dataset.poster = link.dataset.poster;
  player.dataset.label = link.dataset.title;
  document.getElementById("theatre-stage").replaceChildren(player);
  theatre.showModal();
  player.play();
}

function followTheatre() {
  if (!theatre || !theatre.open) return;
  const link = document.querySelector(`#${CSS.escape(shown)} .shot-picture`);
  const player = theatre.querySelector("edged-player");
  if (link && player) player.dataset.parts = link.dataset.parts;
}

if (theatre) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest(".shot-picture");
    if (!link || link.dataset.parts === "[]" || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    open(link);
  });
  theatre.addEventListener("click", (event) => event.target === theatre && theatre.close());
  document.getElementById("theatre-close").addEventListener("click", () => theatre.close());
  theatre.addEventListener("close", () => document.getElementById("theatre-stage").replaceChildren());
}
