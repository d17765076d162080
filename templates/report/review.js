// One prompt at a time; what was judged is kept by the browser, and in a file.
class Review {
  constructor(element) {
    this.element = element;
    this.digest = element.dataset.review;
    this.seed = Number(element.dataset.seed);
    this.items = [...element.querySelectorAll(".item")];
    this.questions = [...this.items[0].querySelectorAll(".question")].map((q) => q.dataset.question);
    this.told = element.querySelector(".told");
    this.judgements = {};
    for (const button of element.querySelectorAll(".choices button")) {
      button.disabled = false;
      button.addEventListener("click", () => this.press(button));
    }
    const on = (name, act) => element.querySelector(name).addEventListener("click", act);
    on(".previous", () => this.move(this.at - 1));
    on(".next", () => this.move(this.at + 1));
    on(".save", () => this.save());
    const input = element.querySelector("input[type=file]");
    input.addEventListener("change", () => this.load(input));
    document.addEventListener("keydown", (event) => this.key(event));
    this.resume();
  }

  get item() { return this.items[this.at]; }
  get id() { return this.item.dataset.id; }
  complete(id) { return Object.keys(this.judgements[id] ?? {}).length === this.questions.length; }

  // Go on where it was left: at the first prompt that has not all its answers.
  resume() {
    try {
      const kept = this.checked(JSON.parse(localStorage.getItem(this.place)));
      if (kept) this.judgements = kept;
    } catch { /* nothing is kept, or the browser keeps nothing */ }
    const open = this.items.findIndex((item) => !this.complete(item.dataset.id));
    if (Object.keys(this.judgements).length) this.element.querySelector(".howto").open = false;
    this.go(open < 0 ? 0 : open);
  }

  get place() { return `ftspec-review-${this.digest}`; }

  keep() {
    try {
      localStorage.setItem(this.place, JSON.stringify(this.document()));
    } catch {
      this.say("This browser keeps nothing: save to a file before you leave.");
    }
  }

  document() {
    return {
      schema_version: 1,
      review: this.digest,
      seed: this.seed,
      prompts: this.items.length,
      judgements: this.judgements,
    };
  }

  // The judgements of a document, if they are of these answers and say nothing unknown.
  checked(found) {
    if (found?.review !== this.digest || typeof found.judgements !== "object") return null;
    const ids = new Set(this.items.map((item) => item.dataset.id));
    const verdicts = new Set(["a", "b", "both", "neither"]);
    const known = Object.create(null);
    for (const [id, given] of Object.entries(found.judgements)) {
      if (!ids.has(id)) return null;
      known[id] = {};
      for (const [question, verdict] of Object.entries(given)) {
        if (!this.questions.includes(question) || !verdicts.has(verdict)) return null;
        known[id][question] = verdict;
      }
    }
    return known;
  }

  go(number) {
    this.at = number;
    this.items.forEach((item, place) => item.classList.toggle("current", place === number));
    const given = this.judgements[this.id] ?? {};
    const open = this.questions.findIndex((name) => !(name in given));
    this.draw();
    this.mark(open < 0 ? 0 : open);
  }

  // Go to a prompt, if there is one, and begin to read it at its top.
  move(number) {
    if (number < 0 || number >= this.items.length) return;
    this.go(number);
    this.element.querySelector(".tools").scrollIntoView();
  }

  // Which question the keys answer.
  mark(number) {
    this.question = Math.min(this.questions.length - 1, Math.max(0, number));
    const rows = [...this.item.querySelectorAll(".question")];
    rows.forEach((row, place) => row.classList.toggle("current", place === this.question));
    return rows[this.question];
  }

  draw() {
    const given = this.judgements[this.id] ?? {};
    for (const row of this.item.querySelectorAll(".question")) {
      for (const button of row.querySelectorAll("button")) {
        const chosen = given[row.dataset.question] === button.dataset.verdict;
        button.setAttribute("aria-pressed", String(chosen));
      }
    }
    const done = this.items.filter((item) => this.complete(item.dataset.id)).length;
    this.element.querySelector(".where").textContent = `${this.at + 1} of ${this.items.length}`;
    this.element.querySelector("progress").value = done;
    this.element.querySelector(".done").textContent = `${done} judged`;
    this.element.querySelector(".previous").disabled = this.at === 0;
    this.element.querySelector(".next").disabled = this.at === this.items.length - 1;
    return done;
  }

  press(button) {
    const row = button.closest(".question");
    this.mark(this.questions.indexOf(row.dataset.question));
    this.judge(button.getAttribute("aria-pressed") === "true" ? null : button.dataset.verdict);
  }

  // Answer the question, and go to the next one that is open; null takes the answer back.
  judge(verdict) {
    const name = this.questions[this.question];
    const given = (this.judgements[this.id] ??= {});
    if (verdict === null) delete given[name]; else given[name] = verdict;
    if (Object.keys(given).length === 0) delete this.judgements[this.id];
    this.keep();
    const done = this.draw();
    if (verdict === null) return;
    if (done === this.items.length) {
      this.say("All prompts are judged: save to a file, and have it counted.");
    } else if (this.complete(this.id) && this.question === this.questions.length - 1) {
      this.move(this.at + 1);
      this.say(`Prompt ${this.at + 1}`);
      return;
    }
    this.step(1);
  }

  // Another question of this prompt, brought into sight.
  step(by) { this.mark(this.question + by).scrollIntoView({ block: "nearest" }); }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
    const verdict = { a: "a", b: "b", s: "both", n: "neither" }[event.key.toLowerCase()];
    if (verdict) this.judge(verdict);
    else if (event.key === "Backspace") this.judge(null);
    else if (event.key === "ArrowDown") this.step(1);
    else if (event.key === "ArrowUp") this.step(-1);
    else if (event.key === "ArrowRight") this.move(this.at + 1);
    else if (event.key === "ArrowLeft") this.move(this.at - 1);
    else return;
    event.preventDefault();
  }

  save() {
    const text = JSON.stringify(this.document(), null, 1) + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = `judgements-${this.digest}.json`;
    link.click();
    URL.revokeObjectURL(link.href);
    this.say(`Saved as ${link.download}, where this browser puts downloads.`);
  }

  async load(input) {
    const [file] = input.files;
    if (!file) return;
    let found = null;
    try {
      found = this.checked(JSON.parse(await file.text()));
    } catch { /* no JSON */ }
    input.value = "";
    if (found === null) {
      this.say(`${file.name} holds no judgements of these answers.`);
      return;
    }
    this.judgements = found;
    this.keep();
    const open = this.items.findIndex((item) => !this.complete(item.dataset.id));
    this.go(open < 0 ? 0 : open);
    this.say(`${file.name} is loaded.`);
  }

  say(words) { this.told.textContent = words; }
}

for (const element of document.querySelectorAll(".review")) new Review(element);
