// Which release of the site answers, and an account of every frame that this page has sent on its socket.

import { Connection } from "./connection.js";

const BEAT = 200; // ms between two frames that only ask to be answered
const BARS = 75; // in the ribbon: the last fifteen seconds
const STEP = 4; // of the ribbon's 300 units
const HEIGHT = 32;
const QUICK = 1; // ms: a bar of the lowest height; each tenfold is a quarter higher
const GIVE_UP = 15_000; // ms that a deployment may take before the button is offered again
const TONES = 6;
const NAMESPACE = "http://www.w3.org/2000/svg";

export function releaseTone(number) {
  return `tone-${number % TONES}`;
}

// Frames go out numbered and are answered one by one: what is missing, or comes in another order, shows.
class Account {
  #waiting = new Map(); // number of a frame → when it was sent
  #next = 1; // the number that is to be answered next
  sent = 0;
  inorder = 0;
  misplaced = 0;
  lost = 0;
  longest = 0; // ms

  add() {
    this.#waiting.set(++this.sent, performance.now());
    return this.sent;
  }

  // Returns how many milliseconds the answer took.
  answer(number) {
    const took = performance.now() - this.#waiting.get(number);
    if (number < this.#next) {
      this.misplaced++;
      this.lost--;
    } else {
      this.lost += number - this.#next;
      this.inorder++;
      this.#next = number + 1;
    }
    this.#waiting.delete(number);
    this.longest = Math.max(this.longest, took);
    return took;
  }

  // The socket is closed: what was under way will not be answered.
  close() {
    this.lost += this.sent + 1 - this.#next;
    this.#next = this.sent + 1;
    this.#waiting.clear();
  }

  knows(number) {
    return this.#waiting.has(number);
  }
}

class Ribbon {
  #svg;

  constructor(svg) {
    this.#svg = svg;
  }

  add(release, took) {
    const height = Math.min(1, 0.15 + Math.max(0, Math.log10(took / QUICK)) / 4) * HEIGHT;
    const bar = document.createElementNS(NAMESPACE, "rect");
    bar.setAttribute("class", releaseTone(release));
    bar.setAttribute("width", STEP - 1);
    bar.setAttribute("height", height.toFixed(1));
    bar.setAttribute("y", (HEIGHT - height).toFixed(1));
    this.#svg.append(bar);
    if (this.#svg.childElementCount > BARS) this.#svg.firstElementChild.remove();
    const bars = [...this.#svg.children];
    bars.forEach((each, at) => each.setAttribute("x", (BARS - bars.length + at) * STEP));
  }
}

export class Release {
  #parts = {};
  #connection;
  #onChange;
  #account = new Account();
  #ribbon;
  #number = null;
  #redeployed = 0;
  #openedAt = null;
  #isReopened = false; // since the last answer
  #timer = null;
  #form = document.getElementById("deploy");

  // `onChange` is called with the first answer of each release that is another than before.
  constructor(connection, onChange) {
    const section = document.getElementById("release");
    for (const part of section.querySelectorAll("[data-part]")) this.#parts[part.dataset.part] = part;
    this.#connection = connection;
    this.#onChange = onChange;
    this.#ribbon = new Ribbon(this.#parts.ribbon);
    this.#form?.addEventListener("submit", (event) => this.#deploy(event));
    setInterval(() => this.#beat(), BEAT);
  }

  // Send a frame on the socket, numbered; whether it stands.
  send(message) {
    if (!this.#connection.isOpen) return false;
    this.#notice();
    return this.#connection.send({ ...message, number: this.#account.add() });
  }

  take(answer) {
    this.#notice();
    if (!this.#account.knows(answer.number)) return;
    this.#ribbon.add(answer.release, this.#account.answer(answer.number));
    // A process of the release before may have answered one more; only another server begins at one again.
    if (answer.release > this.#number || this.#isReopened) this.#change(answer);
    this.#isReopened = false;
  }

  #change(answer) {
    const before = this.#number;
    this.#number = answer.release;
    this.#parts.release.textContent = answer.release;
    this.#parts.mark.className = releaseTone(answer.release);
    this.#parts.greeting.textContent = answer.greeting;
    if (before === null || before === answer.release) return;
    this.#redeployed += Math.max(1, answer.release - before); // some may have been too short to answer this page
    this.#offer("");
    this.#onChange(answer);
  }

  #beat() {
    this.#notice();
    this.send({});
    this.#show();
  }

  // A socket that was opened anew is another one: what was under way on the one before is lost.
  #notice() {
    const { openedAt } = this.#connection;
    if (this.#openedAt !== null && openedAt !== this.#openedAt) {
      this.#account.close();
      this.#isReopened = true;
    }
    this.#openedAt = openedAt;
  }

  #show() {
    const { sent, inorder, misplaced, lost, longest } = this.#account;
    const seconds = this.#openedAt === null ? 0 : Math.floor((performance.now() - this.#openedAt) / 1000);
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    const wait = longest < 1000 ? `${Math.ceil(longest)} ms` : `${(longest / 1000).toFixed(1)} s`;
    const figures = { sent, inorder, misplaced, lost, clock, longest: wait, redeployed: this.#redeployed, closed: Connection.closed };
    for (const [name, figure] of Object.entries(figures)) this.#parts[name].textContent = figure;
    for (const name of ["closed", "misplaced", "lost"]) this.#parts[name].classList.toggle("bad", figures[name] > 0);
  }

  async #deploy(event) {
    event.preventDefault();
    const button = this.#form.querySelector("button");
    button.disabled = true;
    button.textContent = "Redeploying…";
    this.#timer = setTimeout(() => this.#offer(""), GIVE_UP);
    try {
      const response = await fetch(this.#form.action, { method: "POST", body: new FormData(this.#form) });
      if (!response.ok) this.#offer(response.status === 409 ? "One is under way." : "Refused: reload the page.");
    } catch {
      this.#offer("The site did not answer.");
    }
  }

  #offer(why) {
    const button = this.#form?.querySelector("button");
    if (!button) return;
    clearTimeout(this.#timer);
    button.disabled = false;
    button.textContent = "Redeploy";
    document.getElementById("refused").textContent = why;
  }
}
