// Charts of what the channel layer counts, and of the time that a frame takes through all of it.

import { Connection } from "./connection.js";
import { Plot } from "./plot.js";

const STIR_MESSAGES = 200;
const STIR_EVERY = 20; // ms: two hundred messages take four seconds
const ASK_EVERY = 1000; // ms

class Meter {
  #parts;
  #plot;
  #digits;

  constructor(id, digits = 0) {
    const card = document.getElementById(id);
    this.#parts = Object.fromEntries([...card.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
    this.#plot = new Plot(this.#parts.plot);
    this.#digits = digits;
  }

  show(value) {
    this.#plot.add(value);
    this.#parts.value.textContent = value.toFixed(this.#digits);
    this.#parts.peak.textContent = `peak ${this.#plot.peak.toFixed(this.#digits)}`;
  }
}

const sockets = new Meter("sockets");
const rates = { messages: new Meter("messages"), requests: new Meter("requests", 1) };
const roundTrip = new Meter("round-trip", 1);
const stir = document.getElementById("stir");
let before = null;

function show(message) {
  const now = performance.now();
  roundTrip.show(now - message.ping);
  sockets.show(message.sockets);
  if (before) {
    for (const [name, meter] of Object.entries(rates)) {
      // A count that fell has begun anew, with its server.
      meter.show((Math.max(0, message[name] - before[name]) * 1000) / (now - before.at));
    }
  }
  before = { ...message, at: now };
}

const connection = new Connection(
  "/ws/figures",
  (message) => {
    if (!message.ping) return;
    show(message);
    setTimeout(ask, ASK_EVERY);
  },
  (state) => {
    stir.disabled = state !== "open";
    if (state === "open") ask();
  },
);

// Asked again when there is an answer: one question is under way at a time.
function ask() {
  connection.send({ ping: performance.now() });
}

stir.addEventListener("click", () => {
  let left = STIR_MESSAGES;
  stir.disabled = true;
  const timer = setInterval(() => {
    connection.send({ stir: left });
    if (--left > 0) return;
    clearInterval(timer);
    stir.disabled = !connection.isOpen;
  }, STIR_EVERY);
});
