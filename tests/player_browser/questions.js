// What the tests ask of a page that plays a trace: see it as a user does.
"use strict";
window.test = (() => {
  const $ = (id) => document.getElementById(id);
  const texts = (selector) => [...document.querySelectorAll(selector)].map((it) => it.textContent);

  /** All of the page that belongs to a place in a trace, as it is. */
  const state = () => JSON.stringify([document.querySelector("main").innerHTML, $("now").textContent, $("where").textContent,
    $("slider").value, $("slider").ariaValueText, [...document.querySelectorAll(".bar button")].map((it) => it.ariaDisabled)]);

  /** The same, as what it means. */
  const shown = () => ({
    where: $("where").textContent, now: $("now").textContent, tick: $("tick-head").textContent, omitted: $("left-out").textContent,
    part: texts("#parts [aria-current]").join(), ready: texts("#ready li"), head: $("call-head").textContent,
    steps: [...document.querySelectorAll("#steps button")].map((it) => ({
      text: it.querySelector(".text").textContent, handler: it.classList.contains("told"), current: it.ariaCurrent === "step",
    })),
    place: texts("#call code").join(), line: texts("#call pre").join(), chapter: $("call").lastElementChild.textContent,
    listed: texts("#call li"),
    rows: [...document.querySelectorAll("#rows tr")].filter((it) => it.querySelector("button")).map((row) => ({
      source: row.querySelector("button").textContent, token: row.querySelector("th .small").textContent, current: row.ariaCurrent === "true",
      cells: Object.fromEntries([...row.querySelectorAll("td")].map((it) => [it.dataset.label, it.firstChild.firstChild.textContent])),
    })),
    lists: Object.fromEntries([...document.querySelectorAll("#listed dt")].map((it) => [it.textContent, it.nextElementSibling.textContent])),
    more: $("others").textContent,
  });

  /** A point of an element, at a part of its width, where a click meets it and not what lies above it. */
  function place(selector, part) {
    const it = document.querySelector(selector);
    it.scrollIntoView({block: "nearest"});
    const {left, top, width, height} = it.getBoundingClientRect(), at = [left + width * part, top + height / 2];
    const met = document.elementFromPoint(...at);
    if (!met || !(it.contains(met) || met.contains(it))) throw new Error(`${selector} lies below ${met?.outerHTML.slice(0, 99)}`);
    return at;
  }

  /** Whether what is found so is seen whole, with nothing above it. */
  function isSeen(selector) {
    const it = document.querySelector(selector), {left, top, bottom, width} = it.getBoundingClientRect();
    return [top + 2, bottom - 2].every((y) => it.contains(document.elementFromPoint(left + width / 2, y)));
  }

  /** What is wider than the window. */
  function tooWide() {
    const room = document.documentElement.clientWidth, wide = [];
    if (document.documentElement.scrollWidth > room) wide.push(`the page: ${document.documentElement.scrollWidth} of ${room}`);
    for (const it of document.querySelectorAll("body *")) {
      if (it.checkVisibility() && !it.closest(".unseen, thead, datalist") && it.getBoundingClientRect().right > room + 1) wide.push(it.outerHTML.slice(0, 99));
      if (it.matches(".scroll") && it.scrollWidth > it.clientWidth) wide.push("the table");
    }
    return wide;
  }

  const parts = (color) => color.match(/[\d.]+/g).map(Number);
  function luminance(color) {
    const [r, g, b] = color.map((it) => it / 255).map((it) => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }
  function ratio(one, other) {
    const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  }
  function behind(it) {
    for (; it; it = it.parentElement) {
      const color = parts(getComputedStyle(it).backgroundColor);
      if (color[3] === undefined || color[3] === 1) return color.slice(0, 3);
      if (color[3] !== 0) throw new Error(`half transparent: ${it.outerHTML.slice(0, 99)}`);
    }
    return [255, 255, 255];
  }
  /** What has less contrast than level AA of WCAG 2.2 asks for (1.4.3, 1.4.11), and how many texts were looked at. */
  function contrast() {
    const poor = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let looked = 0;
    const check = (what, color, it, least) => {
      const is = ratio(parts(color), behind(it));
      if (is < least) poor.push(`${what}: ${is.toFixed(2)} of ${least}`);
    };
    while (walk.nextNode()) {
      const it = walk.currentNode.parentElement, style = getComputedStyle(it);
      if (!walk.currentNode.data.trim() || it.closest("script, style, option, .unseen") || !it.checkVisibility()) continue;
      const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
      check(walk.currentNode.data.trim().slice(0, 40), style.color, it, large ? 3 : 4.5);
      looked += 1;
    }
    for (const it of document.querySelectorAll("input[type=search], select")) {
      check(`border of ${it.id}`, getComputedStyle(it).borderTopColor, it.parentElement, 3);
      if (it.placeholder) check("placeholder", getComputedStyle(it, "::placeholder").color, it, 4.5);
    }
    for (const it of document.querySelectorAll("[aria-current], #ready .now")) check(`mark of ${it.textContent.slice(0, 40)}`, getComputedStyle(it).borderTopColor, it.parentElement, 3);
    return {poor, looked};
  }

  /** Buttons that are too small for a finger (2.5.8). */
  const small = () => [...document.querySelectorAll("button, select, input:not([type=file])")].filter((it) => it.checkVisibility())
    .filter((it) => it.getBoundingClientRect().height < 24 || it.getBoundingClientRect().width < 24).map((it) => it.outerHTML.slice(0, 99));

  /** What moves by itself. */
  const moving = () => document.getAnimations().length + [...document.querySelectorAll("*")].filter((it) => {
    const style = getComputedStyle(it);
    return parseFloat(style.transitionDuration) > 0 || style.animationName !== "none" || style.scrollBehavior === "smooth";
  }).length;

  /** Which element has the focus, and whether one can see that. */
  function focus() {
    const it = document.activeElement, ring = it.closest(".button") ?? it;
    return {id: it.id || it.dataset.focus || it.tagName, seen: getComputedStyle(ring).outlineStyle !== "none" && ratio(parts(getComputedStyle(ring).outlineColor), behind(ring.parentElement)) >= 3};
  }

  /** Chooses of a list what is called so. */
  function choose(id, text) {
    $(id).value = [...$(id).options].find((it) => it.text === text).value;
    $(id).dispatchEvent(new Event("change"));
  }
  /** Makes `fileRead`: resolved when the next file has been read, well or not. */
  function expectFile() {
    test.fileRead = new Promise((resolve) => {
      const about = $("about").firstChild; // a trace that is read makes another
      const watch = new MutationObserver(() => { if ($("error").textContent || $("about").firstChild !== about) resolve(); });
      for (const id of ["error", "about"]) watch.observe($(id), {childList: true});
    });
  }
  const headings = () => [...document.querySelectorAll("h1, h2, h3")].filter((it) => it.checkVisibility()).map((it) => +it.tagName[1]);
  return {state, shown, place, isSeen, tooWide, contrast, small, moving, focus, choose, expectFile, headings};
})();
0;
