// A chat room: history on entering, then lines, who comes and goes, and which release of the site answers.

import { Connection, element } from "./connection.js";
import { Release, releaseTone } from "./release.js";

const TONES = 6;
const log = document.getElementById("log");
const lines = document.getElementById("lines");
const people = document.getElementById("people");
const composer = document.getElementById("composer");
const { room, me } = log.dataset;
const seen = new Set(); // ids of lines: after a reconnection the history comes again

function tone(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.codePointAt(0)) >>> 0;
  return `tone-${sum % TONES}`;
}

function append(entry) {
  document.getElementById("empty")?.remove();
  lines.append(entry);
}

function showLine({ id, who, text, at, release }) {
  if (seen.has(id)) return;
  seen.add(id);
  const entry = element("article", who === me ? "line mine" : "line");
  const by = `${who} ${release}`;
  entry.dataset.by = by;
  if (lines.lastElementChild?.dataset.by === by) entry.classList.add("more");
  const head = element("p", `who ${tone(who)}`, who);
  head.append(" ", element("time", "", at), " ", element("span", `handled ${releaseTone(release)}`, `release ${release}`));
  entry.append(head, element("p", "said", text));
  append(entry);
}

function showPeople(names) {
  people.replaceChildren(
    ...names.map((name) => {
      const person = element("li", tone(name), name);
      if (name === me) person.append(element("span", "you", " (you)"));
      return person;
    }),
  );
}

function showEvent(text, className = "") {
  append(element("p", `event ${className}`, text));
}

const receivers = {
  welcome({ lines: history, people: names }) {
    history.forEach(showLine);
    showPeople(names);
  },
  said({ line }) {
    showLine(line);
  },
  joined({ who, people: names }) {
    showEvent(`${who} came in`);
    showPeople(names);
  },
  left({ who, people: names }) {
    showEvent(`${who} left`);
    showPeople(names);
  },
  answer(answer) {
    release.take(answer);
  },
};

const connection = new Connection(
  `/ws/room/${room}`,
  (message) => receivers[message.kind]?.(message),
  (state) => (composer.querySelector("button").disabled = state !== "open"),
);
const release = new Release(connection, ({ release: number, greeting, process }) =>
  showEvent(`Release ${number} answers, in process ${process}: “${greeting}”`, `deployed ${releaseTone(number)}`),
);

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const field = composer.elements.say;
  // What could not be sent stays in the field, to be sent when the connection is back.
  if (field.value.trim() && release.send({ say: field.value })) field.value = "";
  field.focus();
});
