// A WebSocket that comes back: exponential back-off with jitter, and one line in the masthead that says how it stands.

const FIRST_DELAY = 500; // ms
const LONGEST_DELAY = 20_000; // ms
const SETTLED_AFTER = 5_000; // ms that a connection must last before the next loss counts as a first one

export class Backoff {
  #attempt = 0;

  // Half of the delay is fixed, so that nobody hammers; half is random, so that pages do not come back in step.
  next() {
    const ceiling = Math.min(LONGEST_DELAY, FIRST_DELAY * 2 ** this.#attempt++);
    return ceiling / 2 + (Math.random() * ceiling) / 2;
  }

  reset() {
    this.#attempt = 0;
  }
}

const RANK = { open: 0, connecting: 1, waiting: 2 };
const WORDS = { open: "Connected", connecting: "Connecting…", waiting: "Reconnecting…" };
const states = new Map();

// The page may hold several connections; the masthead shows the worst.
export function showState(owner, state) {
  states.set(owner, state);
  const worst = [...states.values()].reduce((a, b) => (RANK[b] > RANK[a] ? b : a));
  const place = document.getElementById("state");
  place.hidden = false;
  if (place.dataset.state === worst) return;
  place.dataset.state = worst;
  place.querySelector("span").textContent = WORDS[worst];
}

export class Connection {
  #path;
  #onMessage;
  #onState;
  #socket = null;
  #timer = null;
  #backoff = new Backoff();
  #openedAt = null;

  static closed = 0; // connections of this page that stood, and were closed by the other side or the way to it

  constructor(path, onMessage, onState = () => {}) {
    this.#path = path;
    this.#onMessage = onMessage;
    this.#onState = onState;
    // A page that comes back to the front, or a network that does, is no reason to wait out a long delay.
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.#hurry());
    // A page that is left is kept for the way back, sockets and all: to the others it would still be here.
    addEventListener("pagehide", () => this.#leave());
    addEventListener("pageshow", (event) => event.persisted && this.#begin());
    this.#begin();
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  // Since when it stands, as performance.now() has it; null while it does not.
  get openedAt() {
    return this.#openedAt;
  }

  send(message) {
    if (this.isOpen) this.#socket.send(JSON.stringify(message));
    return this.isOpen;
  }

  #begin() {
    this.#report("connecting");
    this.#open();
  }

  #open() {
    const socket = new WebSocket(location.origin.replace(/^http/, "ws") + this.#path);
    let settled;
    socket.onopen = () => {
      settled = setTimeout(() => this.#backoff.reset(), SETTLED_AFTER);
      this.#openedAt = performance.now();
      this.#report("open");
    };
    socket.onmessage = (event) => this.#onMessage(JSON.parse(event.data));
    socket.onclose = () => {
      clearTimeout(settled);
      if (this.#openedAt !== null) Connection.closed++;
      this.#openedAt = null;
      this.#report("waiting");
      this.#timer = setTimeout(() => this.#retry(), this.#backoff.next());
    };
    this.#socket = socket;
  }

  #retry() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#open();
  }

  #hurry() {
    if (this.#timer !== null) this.#retry();
  }

  #leave() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#socket.onclose = null;
    this.#openedAt = null;
    this.#socket.close();
  }

  #report(state) {
    showState(this, state);
    this.#onState(state);
  }
}

// Text from others goes through textContent only, never into markup.
export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
