// Videos in step: all follow the one with sound, by their rate where they are little off, by a jump where much.
const NUDGE = 0.1, JUMP = 0.25, STEP = 100, FPS = 25;
function player(box) {
  const clips = JSON.parse(box.querySelector("script").textContent);
  const figures = all(".videos figure", box), videos = figures.map((figure) => figure.querySelector("video"));
  const sounds = all("input[type=radio]", box), choose = box.querySelector("select"), play = box.querySelector(".play");
  const seek = box.querySelector(".seek input"), time = box.querySelector("output"), loop = box.querySelector(".loop");
  const heads = all(".curve .head", box), link = box.querySelector(".link");
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
    const clip = clips[Number(choose.value)], frame = Math.min(at * FPS, clip.width).toFixed(1);
    heads.forEach((head) => head.setAttribute("d", `M${frame} 0V${clip.top}`));
  }
  function jump(at) {
    live().forEach((video) => { video.currentTime = Math.min(at, length(video)); });
    tell();
  }
  function draw(place, clip) {
    const curve = figures[place].querySelector(".curve"), svg = curve.querySelector("svg");
    const lines = { grid: clip.grid, speaker: clip.speaker, source: clip.source, own: clip.rows[place] };
    svg.setAttribute("viewBox", `0 0 ${clip.width} ${clip.top}`);
    svg.setAttribute("aria-label", clip.told[place]);
    svg.querySelector("g").setAttribute("transform", `matrix(1 0 0 -1 0 ${clip.top})`);
    Object.entries(lines).forEach(([name, line]) => svg.querySelector(`.${name}`).setAttribute("d", line));
    curve.querySelector(".top").textContent = `${clip.top / 100} %`;
    curve.hidden = !clip.rows[place];
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
      const url = figures[place].hidden ? "" : clip.urls[place], note = figures[place].querySelector(".novideo");
      figures[place].querySelector(".frame").style.aspectRatio = clip.ratio;
      video.poster = clip.posters[place];
      if (url && video.getAttribute("src") !== url) video.src = url;
      if (!url && video.hasAttribute("src")) { video.removeAttribute("src"); video.load(); }
      note.textContent = clip.urls[place] ? "" : clip.notes[place];
      note.classList.remove("lost");
      sounds.find((radio) => Number(radio.value) === place).disabled = !clip.urls[place];
      draw(place, clip);
    });
    link.href = `#${new URLSearchParams({ table: box.closest(".group").id, clip: clip.clip })}`;
    link.querySelector(".sr").textContent = `Link to the clip ${clip.clip}`;
    if (playing) start(0);
  }
  videos.forEach((video, place) => {
    video.controls = false;
    video.addEventListener("loadedmetadata", tell);
    video.addEventListener("error", () => {
      const note = figures[place].querySelector(".novideo");
      note.textContent = "This video is not where the page looks for it; keep the page and its folder of videos together.";
      note.classList.add("lost");
    });
    figures[place].querySelector("svg").addEventListener("click", (event) =>
      jump(event.offsetX / event.currentTarget.clientWidth * clips[Number(choose.value)].width / FPS));
  });
  play.addEventListener("click", () => {
    const first = lead();
    if (timer) stop();
    else if (first) start(first.ended ? 0 : first.currentTime);
  });
  box.querySelector(".restart").addEventListener("click", () => start(0));
  seek.addEventListener("input", () => {
    const first = lead();
    jump(first ? Number(seek.value) / 1000 * length(first) : 0);
  });
  choose.addEventListener("change", load);
  sounds.forEach((radio) => radio.addEventListener("change", () => sound(Number(radio.value))));
  all(".choose input", box).forEach((check) => check.addEventListener("change", () => {
    figures[Number(check.value)].hidden = !check.checked;
    load();
  }));
  load();
  sound(clips[0].urls.findIndex((url) => url));
  return {
    names: clips.map((clip) => clip.clip),
    show(name) {
      choose.value = String(clips.findIndex((clip) => clip.clip === name));
      load();
    },
  };
}
const players = new Map(all(".player").map((box) => [box.closest(".group"), player(box)]));

