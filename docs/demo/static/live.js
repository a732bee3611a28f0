// Charts of the server's statistics, and of the time that a frame takes through all of it.

import { Connection } from "./connection.js";
import { Plot } from "./plot.js";

const STIR_MESSAGES = 200;
const STIR_EVERY = 20; // ms: two hundred messages take four seconds

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

  show(value, unit) {
    this.#plot.add(value);
    this.#parts.value.textContent = value.toFixed(this.#digits);
    if (unit) this.#parts.unit.textContent = unit;
    this.#parts.peak.textContent = `peak ${this.#plot.peak.toFixed(this.#digits)}`;
  }
}

const meters = { connections: new Meter("connections"), messages: new Meter("messages"), requests: new Meter("requests", 1) };
const roundTrip = new Meter("round-trip", 1);
const stir = document.getElementById("stir");

const connection = new Connection(
  "/ws/figures",
  (message) => {
    if (message.stir) return;
    if (message.ping) return roundTrip.show(performance.now() - message.ping);
    const units = { connections: `${message.sockets} of them WebSockets` };
    for (const [name, meter] of Object.entries(meters)) meter.show(message[name], units[name]);
    connection.send({ ping: performance.now() });
  },
  (state) => (stir.disabled = state !== "open"),
);

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
