/* Keeps an open page up to date: fetches it again every few seconds and exchanges what has changed.
 *
 * Elements with `data-live` and an id are exchanged one by one, innermost first; an <edged-player> only gets its
 * new parts, so that what plays goes on. `data-live="page"` asks for the whole page once the element is gone.
 */

const EVERY = 3000; // milliseconds

const exchange = (old, fresh) => {
  if (old.isEqualNode(fresh)) return;
  if (old.localName === "edged-player" && fresh.localName === "edged-player") {
    if (old.dataset.parts !== fresh.dataset.parts) old.dataset.parts = fresh.dataset.parts;
    return;
  }
  const inner = old.querySelector("[data-live]");
  const replacement = inner && fresh.querySelector("[data-live]");
  if (inner && replacement) {
    exchange(inner, replacement);
    return;
  }
  old.replaceWith(document.importNode(fresh, true));
};

const refresh = async () => {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of document.querySelectorAll("[data-live][id]:not([data-live] [data-live])")) {
    const fresh = page.getElementById(old.id);
    if (fresh) exchange(old, fresh);
    else if (old.dataset.live === "page") {
      location.reload();
      return;
    }
  }
};

const loop = async () => {
  try {
    await refresh();
  } catch {
    // the line is gone for a moment: the next round tries again
  }
  setTimeout(loop, EVERY);
};

setTimeout(loop, EVERY);
