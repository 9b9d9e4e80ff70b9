/* Plays an incident's clip parts one after the other as one clip, with one timeline over all of them.
 *
 *   <edged-player data-parts='[{"url": "/media/clip/1.mp4", "seconds": 30.0, "name": "front-1.mp4"}, ...]'
 *                 data-poster="/media/snapshot/1.jpg" data-label="Front door, 14:02">
 *     what stands here is shown without JavaScript: links to the parts
 *   </edged-player>
 *
 * - `data-parts` (required): a JSON list in playing order. `url` answers range requests with video/mp4, `seconds` is the
 *   part's length, `name` (optional) the file name that a download gets. The attribute may be set again while playing:
 *   parts added at the end extend the timeline and playback goes on; any other change starts afresh.
 * - `data-poster` (optional): a picture shown before the first play. `data-label` (optional): what a screen reader says.
 * - The element may be added to a page at any time; it needs this file (as a module) and edged.css, no inline script or
 *   style, so a strict content security policy holds.
 * - For scripts: `position` and `total` in seconds, `playing`, `part` (from 0), `play()`, `pause()`, `seek(seconds)`;
 *   the event `position` (it bubbles) after each change.
 * - Keys: space or k plays and pauses, the arrows move 5 s, comma and full stop one picture, Home and End, f for the
 *   full screen.
 *
 * Two <video> elements take turns: while one plays, the other has the next part loaded, so the change is seamless.
 */

const SKIP = 5; // seconds for an arrow key
const PICTURE = 0.1; // seconds for one step; cameras of this kind give about ten pictures a second or more
const SPEEDS = [1, 2, 4, 0.5];

const clock = (seconds) => {
  const whole = Math.max(0, Math.floor(seconds + 0.001));
  const rest = `${Math.floor(whole / 60) % 60}:${String(whole % 60).padStart(2, "0")}`;
  return whole < 3600 ? rest : `${Math.floor(whole / 3600)}:${rest.padStart(5, "0")}`;
};

const make = (tag, className, properties = {}) =>
  Object.assign(document.createElement(tag), { className }, properties);

class EdgedPlayer extends HTMLElement {
  static observedAttributes = ["data-parts"];

  #parts = [];
  #starts = []; // where each part begins on the common timeline
  #index = 0;
  #videos = [];
  #wanted = false; // the viewer wants it to play
  #target = null; // seconds on the timeline that a seek under way leads to
  #dragging = false;
  #speed = 0;
  #ui = null;

  connectedCallback() {
    if (this.#ui) return;
    this.#build();
    this.#take(this.dataset.parts);
  }

  disconnectedCallback() {
    this.pause();
  }

  attributeChangedCallback(_name, before, after) {
    if (this.#ui && before !== after) this.#take(after);
  }

  get total() {
    return this.#parts.reduce((sum, part) => sum + part.seconds, 0);
  }

  get position() {
    if (this.#target !== null) return this.#target;
    const part = this.#parts[this.#index];
    return part ? this.#starts[this.#index] + Math.min(this.#active.currentTime, part.seconds) : 0;
  }

  get part() {
    return this.#index;
  }

  get playing() {
    return this.#wanted;
  }

  play() {
    if (!this.#parts.length) return;
    this.#wanted = true;
    this.#ui.stage.classList.add("started");
    if (this.#active.ended || this.#active.error) {
      const next = this.#index + 1;
      this.#show(next < this.#parts.length ? next : 0, 0);
    } else {
      this.#start(this.#active);
    }
    this.#draw();
  }

  pause() {
    this.#wanted = false;
    for (const video of this.#videos) video.pause();
    if (this.#ui) this.#draw();
  }

  seek(seconds) {
    if (!this.#parts.length) return;
    const to = Math.min(Math.max(seconds, 0), Math.max(this.total - 0.05, 0));
    let index = this.#starts.findLastIndex((start) => start <= to);
    if (index < 0) index = 0;
    this.#ui.stage.classList.add("started");
    this.#show(index, to - this.#starts[index]);
  }

  // ------------------------------------------------------------------------------------ playing

  get #active() {
    return this.#videos[0];
  }

  #take(json) {
    let parts = [];
    try {
      parts = JSON.parse(json || "[]");
    } catch {
      this.#say("The list of clip parts can't be read.");
    }
    const extends_ = this.#parts.length > 0 && this.#parts.every((part, i) => parts[i]?.url === part.url);
    this.#parts = parts.map((part) => ({ ...part, seconds: Math.max(Number(part.seconds) || 0, 0.1) }));
    let sum = 0;
    this.#starts = this.#parts.map((part) => (sum += part.seconds) - part.seconds);
    this.#list();
    if (extends_) {
      if (this.#active.ended && this.#wanted) this.play();
      else this.#preload();
    } else if (this.#parts.length) {
      this.#index = 0;
      this.#load(this.#active, 0);
      this.#say("");
    } else {
      this.#say("Nothing has been recorded yet.");
    }
    this.#draw();
  }

  #load(video, index) {
    const url = this.#parts[index].url;
    if (video.dataset.url === url && !video.error) return;
    video.dataset.url = url;
    video.src = url;
    video.load();
  }

  #show(index, at) {
    this.#index = index;
    this.#say("");
    if (this.#active.dataset.url !== this.#parts[index].url) {
      const standby = this.#videos[1];
      this.#active.pause();
      this.#load(standby, index);
      this.#videos.reverse();
    } else {
      this.#load(this.#active, index);
    }
    this.#target = this.#starts[index] + at;
    const video = this.#active;
    const arrive = () => {
      if (video !== this.#active || this.#index !== index) return;
      if (Math.abs(video.currentTime - at) > 0.01) video.currentTime = at;
      else this.#arrived(video);
    };
    if (video.readyState >= HTMLMediaElement.HAVE_METADATA) arrive();
    else video.addEventListener("loadedmetadata", arrive, { once: true });
    this.#draw();
  }

  #arrived(video) {
    if (video !== this.#active) return;
    this.#target = null;
    // the other picture goes only now: no black flash between two parts
    for (const each of this.#videos) each.classList.toggle("active", each === video);
    if (this.#wanted) this.#start(video);
    this.#preload();
    this.#draw();
  }

  #start(video) {
    video.playbackRate = SPEEDS[this.#speed];
    video.play().catch((error) => {
      if (error.name === "NotAllowedError") this.pause();
    });
  }

  #preload() {
    const next = this.#index + 1;
    if (next < this.#parts.length && this.#active.readyState > 0) this.#load(this.#videos[1], next);
  }

  #ended() {
    const next = this.#index + 1;
    if (next < this.#parts.length) this.#show(next, 0);
    else this.pause();
  }

  #failed(video) {
    if (video !== this.#active || !video.error) return;
    this.#target = null;
    const next = this.#index + 1;
    if (this.#wanted && next < this.#parts.length) {
      this.#show(next, 0);
      return;
    }
    this.pause();
    this.#say(`Part ${this.#index + 1} can't be played: it may no longer be here, or this browser lacks its codec.`);
  }

  // ----------------------------------------------------------------------------------- showing

  #build() {
    const stage = make("div", "player-stage");
    for (let i = 0; i < 2; i += 1) {
      const video = make("video", i ? "" : "active", { playsInline: true, preload: "auto", tabIndex: -1 });
      video.disableRemotePlayback = true;
      video.addEventListener("timeupdate", () => video === this.#active && this.#draw());
      video.addEventListener("seeked", () => this.#arrived(video));
      video.addEventListener("loadeddata", () => video === this.#active && this.#preload());
      video.addEventListener("ended", () => video === this.#active && this.#ended());
      video.addEventListener("error", () => this.#failed(video));
      video.addEventListener("click", () => this.#toggle());
      this.#videos.push(video);
      stage.append(video);
    }
    if (this.dataset.poster) stage.append(make("img", "player-poster", { src: this.dataset.poster, alt: "" }));
    const big = make("button", "player-big", { type: "button", ariaLabel: "Play" });
    big.addEventListener("click", () => this.#toggle());
    stage.addEventListener("click", (event) => event.target.matches(".player-poster") && this.#toggle());
    const note = make("p", "player-note", { hidden: true });
    note.setAttribute("role", "status");
    stage.append(big, note);
    this.#ui = { stage, big, note, ...this.#bar() };
    const { bar, parts } = this.#ui;
    this.setAttribute("role", "group");
    this.setAttribute("aria-label", this.dataset.label || "Clip");
    this.addEventListener("keydown", (event) => this.#key(event));
    this.replaceChildren(stage, bar, parts);
  }

  #bar() {
    const bar = make("div", "player-bar");
    const toggle = make("button", "player-toggle", { type: "button" });
    toggle.addEventListener("click", () => this.#toggle());
    const track = make("div", "player-track");
    const range = make("input", "player-range", { type: "range", min: "0", step: "0.05", value: "0" });
    range.setAttribute("aria-label", "Position in the clip");
    range.addEventListener("input", () => {
      this.#dragging = true;
      this.seek(Number(range.value));
    });
    range.addEventListener("change", () => (this.#dragging = false));
    const marks = make("div", "player-marks");
    track.append(range, marks);
    const time = make("span", "player-time");
    const speed = make("button", "player-speed", { type: "button", title: "Speed" });
    speed.addEventListener("click", () => {
      this.#speed = (this.#speed + 1) % SPEEDS.length;
      for (const video of this.#videos) video.playbackRate = SPEEDS[this.#speed];
      this.#draw();
    });
    const full = make("button", "player-full", { type: "button", title: "Full screen", ariaLabel: "Full screen" });
    full.addEventListener("click", () => this.#fullScreen());
    full.hidden = !document.fullscreenEnabled;
    bar.append(toggle, track, time, speed, full);
    const parts = make("details", "player-parts");
    return { bar, toggle, range, marks, time, speed, parts };
  }

  #list() {
    const { parts, marks } = this.#ui;
    parts.hidden = !this.#parts.length;
    const list = make("ul", "");
    this.#parts.forEach((part, i) => {
      const item = make("li", "");
      const link = make("a", "", { href: part.url, textContent: `Part ${i + 1}` });
      link.download = part.name || "";
      item.append(link, ` ${clock(part.seconds)}`);
      list.append(item);
    });
    const many = this.#parts.length > 1;
    parts.replaceChildren(make("summary", "", { textContent: many ? "Download the parts" : "Download" }), list);
    marks.replaceChildren(
      ...this.#starts.slice(1).map((start) => {
        const mark = make("i", "");
        mark.style.left = `${(start / this.total) * 100}%`; // through the CSSOM: allowed by style-src 'self'
        return mark;
      }),
    );
  }

  #draw() {
    const { stage, big, toggle, range, time, speed } = this.#ui;
    const position = this.position;
    range.max = String(this.total);
    if (!this.#dragging) range.value = String(position);
    range.setAttribute("aria-valuetext", `${clock(position)} of ${clock(this.total)}`);
    range.style.setProperty("--done", `${this.total ? (position / this.total) * 100 : 0}%`);
    time.textContent = `${clock(position)} / ${clock(this.total)}`;
    speed.textContent = `${SPEEDS[this.#speed]}×`;
    toggle.ariaLabel = this.#wanted ? "Pause" : "Play";
    big.hidden = this.#wanted || !this.#parts.length;
    stage.classList.toggle("playing", this.#wanted);
    this.classList.toggle("playing", this.#wanted);
    this.dispatchEvent(new CustomEvent("position", { bubbles: true, detail: { position, total: this.total } }));
  }

  #say(text) {
    this.#ui.note.textContent = text;
    this.#ui.note.hidden = !text;
  }

  #toggle() {
    if (this.#wanted) this.pause();
    else this.play();
  }

  #fullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.requestFullscreen().catch(() => {});
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const onButton = event.target.matches("button, summary, a");
    const act = {
      " ": () => !onButton && this.#toggle(),
      k: () => this.#toggle(),
      f: () => this.#fullScreen(),
      ArrowLeft: () => this.seek(this.position - SKIP),
      ArrowRight: () => this.seek(this.position + SKIP),
      ",": () => this.seek(this.position - PICTURE),
      ".": () => this.seek(this.position + PICTURE),
      Home: () => this.seek(0),
      End: () => this.seek(this.total),
    }[event.key];
    if (!act || (event.key === " " && onButton)) return;
    act();
    event.preventDefault();
  }
}

customElements.define("edged-player", EdgedPlayer);
