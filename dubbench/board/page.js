"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Sorting: a heading's first press puts the best on top, the next one turns the order round; empty cells stay last.
  const NAMES = new Intl.Collator(undefined, { numeric: true });
  function sort(table, header) {
    const button = header.querySelector("button");
    const before = header.getAttribute("aria-sort");
    const turned = { ascending: "descending", descending: "ascending" };
    const order = turned[before] || button.dataset.first;
    const sign = order === "ascending" ? 1 : -1;
    const column = header.cellIndex;
    const number = "number" in button.dataset;
    const body = table.querySelector("tbody.methods");
    const keyed = [...body.rows].map((row) => {
      const text = row.cells[column].dataset.v;
      return { row, empty: text === "", key: number ? Number(text) : text };
    });
    keyed.sort((a, b) => {
      if (a.empty || b.empty) return a.empty - b.empty;
      if (!number) return sign * NAMES.compare(a.key, b.key);
      return a.key === b.key ? 0 : sign * (a.key < b.key ? -1 : 1);
    });
    body.append(...keyed.map((own) => own.row));
    all("thead th", table).forEach((own) => own.setAttribute("aria-sort", own === header ? order : "none"));
    const said = table.closest("section").querySelector("[role=status]");
    said.textContent = `Sorted by ${button.firstChild.textContent.trim()}, ${order}`;
  }
  all("table.board thead th").forEach((header) =>
    header.querySelector("button").addEventListener("click", () => sort(header.closest("table"), header)));

  all("button.all").forEach((button) =>
    button.addEventListener("click", () => {
      const every = button.closest(".group").classList.toggle("every");
      button.setAttribute("aria-pressed", String(every));
    }));

  // Definitions on hover and focus; Escape puts them away.
  const tip = document.getElementById("tip");
  function show(button) {
    tip.textContent = button.dataset.tip;
    tip.hidden = false;
    const box = button.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const below = box.bottom + own.height + 8 < innerHeight;
    tip.style.left = `${Math.max(4, Math.min(box.left, root.clientWidth - own.width - 4))}px`;
    tip.style.top = `${below ? box.bottom + 6 : Math.max(4, box.top - own.height - 6)}px`;
  }
  const hide = () => { tip.hidden = true; };
  all("[data-tip]").forEach((button) => {
    for (const event of ["mouseenter", "focus"]) button.addEventListener(event, () => show(button));
    for (const event of ["mouseleave", "blur"]) button.addEventListener(event, hide);
  });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("scroll", hide, { passive: true, capture: true });

  // Videos in step: all follow the one with sound, by their rate where they are little off, by a jump where much.
  const NUDGE = 0.1, JUMP = 0.25, STEP = 100;
  function player(box) {
    const clips = JSON.parse(box.querySelector("script").textContent);
    const figures = all(".videos figure", box), videos = figures.map((figure) => figure.querySelector("video"));
    const sounds = all("input[type=radio]", box), choose = box.querySelector("select"), play = box.querySelector(".play");
    const seek = box.querySelector(".seek input"), time = box.querySelector("output"), loop = box.querySelector(".loop");
    let timer = 0, turn = 0;
    const live = () => videos.filter((video, place) => video.hasAttribute("src") && !figures[place].hidden && !video.error);
    const length = (video) => video.duration || 0;
    function lead() {
      const own = live(), longest = Math.max(0, ...own.map(length));
      return own.find((video) => !video.muted && length(video) > longest - 0.1) || own.find((video) => length(video) === longest);
    }
    function tell() {
      const first = lead(), at = first ? first.currentTime : 0, whole = first ? length(first) : 0;
      seek.value = whole ? String(Math.round(1000 * at / whole)) : "0";
      time.textContent = `${at.toFixed(1)} of ${whole.toFixed(1)} s`;
      seek.setAttribute("aria-valuetext", time.textContent);
    }
    function stop() {
      turn += 1;
      clearInterval(timer);
      timer = 0;
      videos.forEach((video) => { video.pause(); video.playbackRate = 1; });
      play.textContent = "Play all";
      tell();
    }
    function follow() {
      const first = lead();
      if (!first) return stop();
      if (first.ended) {
        if (!loop.checked) return stop();
        return start(0);
      }
      for (const video of live()) {
        if (video === first || video.ended) { video.playbackRate = 1; continue; }
        const off = video.currentTime - first.currentTime;
        if (Math.abs(off) > JUMP) video.currentTime = first.currentTime;
        video.playbackRate = Math.abs(off) < 0.02 ? 1 : 1 - Math.max(-NUDGE, Math.min(NUDGE, off));
      }
      tell();
    }
    const ready = (video) => video.readyState > 2 && !video.seeking ? null : new Promise((done) => {
      for (const event of ["canplay", "seeked", "error"]) video.addEventListener(event, done, { once: true });
    });
    async function start(at) {
      stop();
      const own = turn, shown = live();
      play.textContent = "Pause";
      timer = -1;
      shown.forEach((video) => { video.currentTime = Math.min(at, length(video) || at); });
      await Promise.all(shown.map(ready));
      if (own !== turn) return;
      await Promise.all(shown.map((video) => video.play().catch(() => null)));
      if (own !== turn) return videos.forEach((video) => video.pause());
      timer = setInterval(follow, STEP);
    }
    function sound(place) {
      videos.forEach((video, own) => { video.muted = own !== place; });
      sounds.forEach((radio) => { radio.checked = Number(radio.value) === place; });
    }
    function load() {
      const playing = timer !== 0, clip = clips[Number(choose.value)];
      stop();
      videos.forEach((video, place) => {
        const url = figures[place].hidden ? "" : clip.urls[place];
        if (url && video.getAttribute("src") !== url) video.src = url;
        if (!url && video.hasAttribute("src")) { video.removeAttribute("src"); video.load(); }
        figures[place].querySelector(".novideo").textContent = clip.urls[place] ? "" : clip.notes[place];
        sounds.find((radio) => Number(radio.value) === place).disabled = !clip.urls[place];
      });
      if (playing) start(0);
    }
    videos.forEach((video) => {
      video.controls = false;
      video.addEventListener("loadedmetadata", tell);
    });
    play.addEventListener("click", () => {
      const first = lead();
      if (timer) stop();
      else if (first) start(first.ended ? 0 : first.currentTime);
    });
    box.querySelector(".restart").addEventListener("click", () => start(0));
    seek.addEventListener("input", () => {
      const first = lead(), at = first ? Number(seek.value) / 1000 * length(first) : 0;
      live().forEach((video) => { video.currentTime = Math.min(at, length(video)); });
      time.textContent = `${at.toFixed(1)} of ${(first ? length(first) : 0).toFixed(1)} s`;
      seek.setAttribute("aria-valuetext", time.textContent);
    });
    choose.addEventListener("change", load);
    sounds.forEach((radio) => radio.addEventListener("change", () => sound(Number(radio.value))));
    all(".choose input", box).forEach((check) => check.addEventListener("change", () => {
      figures[Number(check.value)].hidden = !check.checked;
      load();
    }));
    load();
    sound(clips[0].urls.findIndex((url) => url));
  }
  all(".player").forEach(player);
})();
