// The same readings twice: by an EventSource, and by a loop of long polls. Both come back with back-off and jitter.

import { Backoff, showState } from "./connection.js";
import { Plot } from "./plot.js";

const SILENCE = 5_000; // ms without a reading, of which there is one a second

class Gauge {
  #parts;
  #plot;
  #level = null;
  #readings = 0;
  #requests = 0;

  constructor(id) {
    const card = document.getElementById(id);
    this.#parts = Object.fromEntries([...card.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));
    this.#plot = new Plot(this.#parts.plot, { fromZero: false });
  }

  countRequest() {
    this.#parts.requests.textContent = ++this.#requests;
  }

  show({ level }) {
    this.#parts.trend.textContent = this.#level === null ? "" : level < this.#level ? "↓ falling" : "↑ rising";
    this.#level = level;
    this.#parts.level.textContent = level.toFixed(1);
    this.#parts.readings.textContent = ++this.#readings;
    this.#plot.add(level);
  }

  showState(state, words) {
    this.#parts.state.textContent = words;
    this.#parts.state.dataset.state = state;
    showState(this, state);
  }
}

// A page that is left is kept for the way back, requests and all: end them, and begin anew on return.
const leaving = new AbortController();
addEventListener("pagehide", () => leaving.abort());
addEventListener("pageshow", (event) => event.persisted && location.reload());

function listen(gauge) {
  const backoff = new Backoff();
  let source;
  let watch;
  leaving.signal.addEventListener("abort", () => (clearTimeout(watch), source.close()));
  const open = () => {
    gauge.countRequest();
    source = new EventSource("/ticker/events");
    source.onopen = () => {
      gauge.showState("open", "streaming");
      expect();
    };
    source.onmessage = (event) => {
      backoff.reset();
      gauge.show(JSON.parse(event.data));
      expect();
    };
    // The stream has said all it will, because new code is there to go on: no loss, so no delay either.
    source.addEventListener("end", () => {
      source.close();
      open();
    });
    source.onerror = retry;
  };
  // An EventSource retries by itself, but all pages in step, and not at all after an error page: do it here.
  const retry = () => {
    clearTimeout(watch);
    source.close();
    gauge.showState("waiting", "reconnecting");
    setTimeout(open, backoff.next());
  };
  // Silence is no error to an EventSource, and may last: whoever wrote the stream was killed, say.
  const expect = () => {
    clearTimeout(watch);
    watch = setTimeout(retry, SILENCE);
  };
  open();
}

async function poll(gauge) {
  const backoff = new Backoff();
  let after = 0;
  while (!leaving.signal.aborted) {
    try {
      gauge.countRequest();
      const response = await fetch(`/ticker/poll?after=${after}`, { signal: leaving.signal });
      if (!response.ok) throw new Error(`status ${response.status}`);
      gauge.showState("open", "waiting for a reading");
      backoff.reset();
      if (response.status === 204) continue;
      const reading = await response.json();
      after = reading.number;
      gauge.show(reading);
    } catch {
      gauge.showState("waiting", "reconnecting");
      await new Promise((resume) => setTimeout(resume, backoff.next()));
    }
  }
}

listen(new Gauge("events"));
poll(new Gauge("poll"));
