// A small line chart in SVG that slides to the left by one step a sample.

const WIDTH = 600;
const HEIGHT = 120;
const MARGIN = 8; // room for the stroke, and for the eye
const NAMESPACE = "http://www.w3.org/2000/svg";

function make(name, className) {
  const made = document.createElementNS(NAMESPACE, name);
  made.setAttribute("class", className);
  return made;
}

export class Plot {
  #samples = [];
  #capacity;
  #fromZero;
  #group = make("g", "moving");
  #area = make("path", "area");
  #line = make("path", "trace");

  constructor(svg, { capacity = 60, fromZero = true } = {}) {
    this.#capacity = capacity;
    this.#fromZero = fromZero;
    this.#group.append(this.#area, this.#line);
    for (const y of [MARGIN, HEIGHT / 2, HEIGHT - MARGIN]) {
      const rule = make("path", "rule");
      rule.setAttribute("d", `M0 ${y}H${WIDTH}`);
      svg.append(rule);
    }
    svg.append(this.#group);
  }

  get peak() {
    return Math.max(...this.#samples);
  }

  add(value) {
    this.#samples.push(value);
    // One more than fits: the oldest slides out at the left while the newest slides in.
    if (this.#samples.length > this.#capacity + 1) this.#samples.shift();
    this.#draw();
    this.#group.classList.remove("moving");
    this.#group.style.transform = `translateX(${WIDTH / (this.#capacity - 1)}px)`;
    this.#group.getBoundingClientRect(); // makes the browser start the slide from here
    this.#group.classList.add("moving");
    this.#group.style.transform = "translateX(0)";
  }

  #draw() {
    const step = WIDTH / (this.#capacity - 1);
    const last = this.#samples.length - 1;
    const [low, high] = this.#range();
    const points = this.#samples.map((value, index) => {
      const y = HEIGHT - MARGIN - ((value - low) / (high - low)) * (HEIGHT - 2 * MARGIN);
      return `${(WIDTH - (last - index) * step).toFixed(1)} ${y.toFixed(1)}`;
    });
    const line = `M${points.join("L")}`;
    this.#line.setAttribute("d", line);
    this.#area.setAttribute("d", `${line}V${HEIGHT}H${(WIDTH - last * step).toFixed(1)}Z`);
  }

  #range() {
    const high = Math.max(...this.#samples);
    if (this.#fromZero) return [0, Math.max(1, high * 1.1)];
    const low = Math.min(...this.#samples);
    const middle = (high + low) / 2;
    const half = Math.max(4, (high - low) * 0.55);
    return [middle - half, middle + half];
  }
}
