/**
 * Measures a report inside a browser: an expression whose value is what is wrong, a sentence each. Text over text, anything
 * outside its box or the page, an axis whose ticks are not where its numbers say, marks outside the plot.
 */
(() => {
  // a pixel covers the rounding of text to whole pixels and of coordinates to tenths
  const SLACK = 1;
  const problems = [];
  const textOf = (node) => node.textContent.trim().replace(/\s+/g, ' ').slice(0, 40);
  const boxOf = (node) => node.getBoundingClientRect();
  const isShown = (box) => box.width > 0 && box.height > 0;
  const isInside = (inner, outer) =>
    inner.left >= outer.left - SLACK &&
    inner.right <= outer.right + SLACK &&
    inner.top >= outer.top - SLACK &&
    inner.bottom <= outer.bottom + SLACK;
  const overlap = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > SLACK &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > SLACK;

  /** Texts, each with its box; what lies in closed details has none. */
  const textsIn = (root, selector) =>
    [...root.querySelectorAll(selector)]
      .map((node) => ({ text: textOf(node), box: boxOf(node) }))
      .filter(({ text, box }) => text !== '' && isShown(box));

  function overlaps(where, texts) {
    texts.forEach((one, i) => {
      for (const other of texts.slice(i + 1))
        if (overlap(one.box, other.box)) problems.push(`${where}: "${one.text}" lies over "${other.text}"`);
    });
  }

  const numberOf = (text) => {
    const plain = text.replaceAll(',', '').replace('\u2212', '-');
    return /^-?[\d.]+(e-?\d+)?$/.test(plain) ? Number(plain) : Number.NaN;
  };

  /** Ticks of an axis: the number each says, and the middle of its text in pixels. */
  function ticksOf(axis, side) {
    return [...axis.querySelectorAll('.role-axis-label text')]
      .filter((node) => node.textContent !== '' && getComputedStyle(node).opacity !== '0')
      .map((node) => {
        // where a label is anchored is its tick; the first and the last of an axis may be set flush
        const { e, f } = node.getScreenCTM();
        return { value: numberOf(node.textContent), at: side === 'x' ? e : f };
      });
  }

  /** Largest distance in pixels of a tick from the straight line through the first and the last. */
  function bend(ticks, of) {
    const [first, last] = [ticks[0], ticks.at(-1)];
    const slope = (last.at - first.at) / (of(last.value) - of(first.value));
    return Math.max(...ticks.map(({ value, at }) => Math.abs(first.at + (of(value) - of(first.value)) * slope - at)));
  }

  /** Numbers of an axis lie where they say, on a linear or a logarithmic scale. */
  function axis(where, group, side) {
    const ticks = ticksOf(group, side);
    if (ticks.length === 0 || ticks.some(({ value }) => Number.isNaN(value))) return;
    if (ticks.length < 2) return problems.push(`${where}: the ${side} axis has a single number`);
    // labels are centred to whole pixels, and digits differ in height by one
    const most = 2 * SLACK;
    const isLog = ticks.every(({ value }) => value > 0) && bend(ticks, Math.log) <= most;
    if (!isLog && bend(ticks, (value) => value) > most)
      problems.push(`${where}: the numbers of the ${side} axis are neither even nor logarithmic`);
  }

  /** Bars begin at the zero of their axis. */
  function bars(where, svg) {
    // a tick that marks a median is no bar
    const rects = [...svg.querySelectorAll('.mark-rect.role-mark path')].map(boxOf).filter(({ width }) => width > 4);
    if (rects.length === 0) return;
    const zero = [...svg.querySelectorAll('.role-axis')]
      .flatMap((group) => ticksOf(group, 'x'))
      .find((t) => t.value === 0);
    const left = Math.min(...rects.map((box) => box.left));
    if (zero === undefined) problems.push(`${where}: bars on an axis without a zero`);
    else if (Math.abs(zero.at - left) > 4 * SLACK) problems.push(`${where}: bars begin ${left - zero.at} px from zero`);
  }

  function plot(where, svg) {
    const frame = svg.querySelector('.role-frame.root > g > path.background');
    if (frame === null) return;
    const area = boxOf(frame);
    // half of a mark at the edge of the plot may stand out
    const half = 7;
    const room = { left: area.left - half, right: area.right + half, top: area.top - half, bottom: area.bottom + half };
    const marks = '.role-mark:not(.mark-text):not(.mark-group) path, .role-mark.mark-rule line';
    for (const node of svg.querySelectorAll(marks)) {
      if (node.closest('.role-legend') !== null || node.classList.contains('background')) continue;
      const box = boxOf(node);
      if ((box.width > 0 || box.height > 0) && !isInside(box, room))
        problems.push(`${where}: a mark lies outside the plot, ${Math.round(box.left)} to ${Math.round(box.right)} px`);
    }
    for (const group of svg.querySelectorAll('.role-axis')) {
      const label = group.querySelector('.role-axis-label text');
      if (label === null) continue;
      const { top } = boxOf(label);
      axis(where, group, top >= area.bottom - SLACK ? 'x' : 'y');
    }
  }

  for (const svg of document.querySelectorAll('figure svg')) {
    const where = `chart "${svg.querySelector('title').textContent}"`;
    const box = boxOf(svg);
    if (!isShown(box)) continue;
    const texts = textsIn(svg, 'text');
    if (texts.length === 0) problems.push(`${where}: no text`);
    for (const { text, box: own } of texts) if (!isInside(own, box)) problems.push(`${where}: "${text}" is cut off`);
    overlaps(where, texts);
    plot(where, svg);
    bars(where, svg);
    const small = [...svg.querySelectorAll('text')].find((node) => {
      const size = Number.parseFloat(getComputedStyle(node).fontSize) * (box.width / svg.viewBox.baseVal.width);
      return size < 8;
    });
    if (small !== undefined) problems.push(`${where}: "${textOf(small)}" is smaller than 8 px`);
  }

  for (const table of document.querySelectorAll('table')) {
    if (!isShown(boxOf(table))) continue;
    const where = `table "${table.caption.textContent}"`;
    const cells = [...table.querySelectorAll('th, td')].map((cell) => {
      const range = document.createRange();
      range.selectNodeContents(cell);
      return { text: textOf(cell), box: range.getBoundingClientRect(), cell: boxOf(cell) };
    });
    for (const { text, box, cell } of cells)
      if (!isInside(box, cell)) problems.push(`${where}: "${text}" leaves its cell`);
    overlaps(
      where,
      cells.filter(({ text, box }) => text !== '' && isShown(box)),
    );
    const columns = new Set([...table.rows].map((row) => [...row.cells].reduce((n, cell) => n + cell.colSpan, 0)));
    if (columns.size !== 1) problems.push(`${where}: rows of ${[...columns].join(' and ')} cells`);
  }

  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth > width)
    problems.push(`the page is ${document.documentElement.scrollWidth} px wide, the window ${width}`);
  for (const node of document.querySelectorAll('h1, h2, p, li, summary, figcaption, caption')) {
    const box = boxOf(node);
    const scrolls = node.closest('.scroll') !== null;
    if (isShown(box) && !scrolls && (box.left < -SLACK || box.right > width + SLACK))
      problems.push(`"${textOf(node)}" reaches from ${box.left} to ${box.right} px of ${width}`);
  }
  return {
    problems,
    charts: document.querySelectorAll('figure svg').length,
    tables: document.querySelectorAll('table').length,
  };
})();
