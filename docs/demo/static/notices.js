// On every page: notices arrive as toasts, and on the notice board as entries too.

import { Connection, element } from "./connection.js";

const SHOWN_FOR = 12_000; // ms, unless somebody is reading it
const SHOWN_AT_ONCE = 3;

const toasts = document.getElementById("toasts");
const board = document.getElementById("board");

function byline(notice) {
  const line = element("p", "by", `${notice.who} `);
  line.append(element("time", "", notice.at));
  return line;
}

function showToast(notice) {
  const toast = element("article", "toast");
  const close = element("button", "close", "×");
  close.setAttribute("aria-label", "Dismiss this notice");
  close.onclick = () => toast.remove();
  toast.append(element("p", "", notice.text), byline(notice), close);
  toasts.append(toast);
  while (toasts.children.length > SHOWN_AT_ONCE) toasts.firstChild.remove();
  let timer;
  const leave = () => (timer = setTimeout(() => toast.remove(), SHOWN_FOR));
  toast.onpointerenter = toast.onfocusin = () => clearTimeout(timer);
  toast.onpointerleave = toast.onfocusout = leave;
  leave();
}

function addToBoard(notice) {
  board.querySelector(".empty")?.remove();
  const entry = element("li");
  entry.append(element("p", "", notice.text), byline(notice));
  board.prepend(entry);
}

new Connection("/ws/notices", (notice) => {
  showToast(notice);
  if (board) addToBoard(notice);
});
