'use strict';
// Every picture is a place in columns of numbers; what is shown is an order of places. Only what is on the screen is in
// the page, so ten thousand pictures cost as much as ten. Text from outside becomes text nodes, never markup.
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const count = data.paths.length;
  const numbers = data.numbers.map(each => ({name: each.name, values: Float64Array.from(each.values, v => v ?? NaN)}));
  const byName = Object.fromEntries(numbers.map(each => [each.name, each]));
  const find = id => document.getElementById(id);
  const [main, sheet, shown, sorting, grouping, search, dialog, beside, facts] =
    ['main', 'sheet', 'shown', 'sorting', 'grouping', 'search', 'dialog', 'beside', 'facts'].map(find);
  const CAPTION = 46, HEAD = 34, BINS = 40, MOST_BESIDE = 8;
  const state = {sort: data.sort, down: true, group: '', text: '', ranges: {}, order: [], rows: [], groups: new Map(), at: 0, beside: false};
  const lower = data.paths.map((path, place) => `${path}\n${data.notes[place]}`.toLowerCase());

  function make(tag, properties = {}, ...children) {
    const element = document.createElement(tag);
    Object.assign(element, properties);
    element.append(...children);
    return element;
  }

  // --- what is shown, and in which order ---

  const fails = new Uint8Array(count), only = new Array(count).fill('');

  // Notes for each place how many filters it fails, and which: a histogram shows what its own filter would let through.
  function judge() {
    const ranges = Object.entries(state.ranges);
    for (let place = 0; place < count; place++) {
      let failed = 0;
      for (const [name, [low, high]] of ranges) {
        const value = byName[name].values[place];
        if (!(value >= low && value <= high)) { failed++; only[place] = name; }
      }
      if (state.text && !lower[place].includes(state.text)) failed += 2;
      fails[place] = failed;
    }
  }

  function choose() {
    const kept = [];
    for (let place = 0; place < count; place++) if (!fails[place]) kept.push(place);
    const values = byName[state.sort] && byName[state.sort].values;
    if (values) {
      const sign = state.down ? -1 : 1;
      const known = kept.filter(place => values[place] === values[place]);
      const unknown = kept.filter(place => values[place] !== values[place]);
      known.sort((one, other) => sign * (values[one] - values[other]) || one - other);
      state.order = known.concat(unknown);
    } else {
      state.order = state.down ? kept : kept.reverse();
    }
    state.groups = new Map();
    if (state.group) {
      const words = data.words.find(each => each.name === state.group);
      for (const place of state.order) {
        const name = words.names[words.codes[place]];
        if (!state.groups.has(name)) state.groups.set(name, []);
        state.groups.get(name).push(place);
      }
      state.groups.delete('');  // what belongs to no group
      state.order = [...state.groups.values()].flat();
    }
  }

  function arrange() {
    const width = main.clientWidth || 800, size = Number(find('size').value);
    const columns = Math.max(1, Math.floor(width / size)), side = Math.floor(width / columns);
    const rows = [];
    let top = 0;
    const lay = places => {
      for (let start = 0; start < places.length; start += columns) {
        rows.push({top, height: side * 0.75 + CAPTION, places: places.slice(start, start + columns)});
        top += side * 0.75 + CAPTION;
      }
    };
    if (state.group) {
      for (const [name, places] of state.groups) {
        rows.push({top, height: HEAD, head: name, size: places.length});
        top += HEAD;
        lay(places);
      }
    } else {
      lay(state.order);
    }
    Object.assign(state, {rows, side, columns});
    sheet.style.height = `${top}px`;
  }

  // --- the sheet ---

  const drawn = new Map();

  function draw() {
    const top = main.scrollTop - 600, bottom = main.scrollTop + main.clientHeight + 600;
    let low = 0, high = state.rows.length;
    while (low < high) {  // the first row that ends below the top
      const middle = (low + high) >> 1;
      if (state.rows[middle].top + state.rows[middle].height < top) low = middle + 1; else high = middle;
    }
    const wanted = new Set();
    for (let at = low; at < state.rows.length && state.rows[at].top < bottom; at++) {
      const row = state.rows[at];
      if (row.head !== undefined) {
        const key = `head ${row.head}`;
        wanted.add(key);
        const head = drawn.get(key) || put(key, make('p', {className: 'head'}, `${state.group} ${row.head} `, make('span', {textContent: `${row.size} pictures`})));
        head.style.top = `${row.top}px`;
        continue;
      }
      row.places.forEach((place, column) => {
        wanted.add(place);
        const card = drawn.get(place) || put(place, makeCard(place));
        card.style.cssText = `top:${row.top}px;left:${column * state.side}px;width:${state.side}px;height:${row.height}px`;
        card.classList.toggle('selected', state.order[state.at] === place);
        const value = byName[state.sort] ? byName[state.sort].values[place] : NaN;
        card.querySelector('b').textContent = value === value ? value.toFixed(2) : '';
      });
    }
    for (const [key, element] of drawn) if (!wanted.has(key)) { element.remove(); drawn.delete(key); }
  }

  function put(key, element) {
    drawn.set(key, element);
    sheet.append(element);
    return element;
  }

  function small(place) {
    return data.thumbs && data.small[place] ? data.thumbs + data.small[place] : '';
  }

  // The first of some files that can be shown; what is in an archive or a bucket has no link.
  function makePicture(place, sources) {
    const [first, ...others] = sources.filter(Boolean);
    if (data.errors[place] || !first) return make('div', {className: 'none', textContent: data.errors[place] || 'no picture here'});
    const picture = make('img', {src: first, alt: '', decoding: 'async'});
    picture.onerror = () => { if (others.length) picture.src = others.shift(); };
    return picture;
  }

  function makeCard(place) {
    const picture = makePicture(place, data.thumbs ? [small(place), data.links[place]] : [data.links[place]]);
    const card = make('figure', {className: 'card', title: data.paths[place]}, picture,
      make('figcaption', {}, make('b'), make('span', {textContent: verdict(place), className: verdict(place)}), make('span', {textContent: data.notes[place]}), make('i', {textContent: data.paths[place]})));
    card.addEventListener('click', () => { select(state.order.indexOf(place)); open(); });
    return card;
  }

  function verdict(place) {
    const words = data.words.find(each => each.name === 'verdict');
    return words ? words.names[words.codes[place]] : '';
  }

  function refilter() {
    judge();
    drawHistograms();
    reorder(state.order[state.at]);
  }

  // Orders and lays out what passes, with the place `kept` selected where it is still there, else the first.
  function reorder(kept) {
    choose();
    arrange();
    state.at = Math.max(0, state.order.indexOf(kept));
    if (!state.at) main.scrollTop = 0;
    draw();
    shown.textContent = `${state.order.length.toLocaleString()} of ${count.toLocaleString()}`;
    if (dialog.open) state.order.length ? show() : dialog.close();
  }

  // --- histograms ---

  const plots = [];

  function makeHistograms() {
    for (const each of numbers) {
      let low = Infinity, high = -Infinity;
      for (const value of each.values) if (value === value) { low = Math.min(low, value); high = Math.max(high, value); }
      if (low > high) continue;
      if (each.name !== 'raw' && low >= 0 && high <= 10 && data.scores.includes(each.name)) { low = 0; high = 10; }
      if (low === high) high = low + 1;
      const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
      svg.setAttribute('viewBox', `0 0 ${BINS} 20`);
      svg.setAttribute('preserveAspectRatio', 'none');
      const bins = Uint8Array.from(each.values, value =>
        value === value ? Math.min(BINS - 1, Math.floor((value - low) / (high - low) * BINS)) : BINS);
      const all = new Array(BINS + 1).fill(0);
      for (const bin of bins) all[bin]++;
      const note = make('span'), plot = {each, low, high, svg, note, bins, all};
      svg.addEventListener('pointerdown', event => drag(plot, event));
      svg.addEventListener('dblclick', () => { delete state.ranges[each.name]; refilter(); });
      find('plots').append(make('figure', {}, make('figcaption', {}, make('b', {textContent: each.name}), note), svg));
      plots.push(plot);
    }
  }

  function drag(plot, event) {
    const box = plot.svg.getBoundingClientRect();
    const value = x => plot.low + Math.min(1, Math.max(0, (x - box.left) / box.width)) * (plot.high - plot.low);
    const first = value(event.clientX);
    plot.svg.setPointerCapture(event.pointerId);
    const move = next => {
      const other = value(next.clientX);
      state.ranges[plot.each.name] = [Math.min(first, other), Math.max(first, other)];
      drawHistograms();
    };
    const stop = last => {
      plot.svg.removeEventListener('pointermove', move);
      const [low, high] = state.ranges[plot.each.name] || [0, 0];
      if (high - low < (plot.high - plot.low) / 200) delete state.ranges[plot.each.name];
      refilter();
    };
    plot.svg.addEventListener('pointermove', move);
    plot.svg.addEventListener('pointerup', stop, {once: true});
  }

  function drawHistograms() {
    for (const plot of plots) {
      const {each, low, high, svg, note, bins, all} = plot, some = new Array(BINS + 1).fill(0);
      for (let place = 0; place < count; place++) {
        if (!fails[place] || (fails[place] === 1 && only[place] === each.name)) some[bins[place]]++;
      }
      const most = Math.max(...all.slice(0, BINS), 1), bars = [];
      const bar = (name, x, width, y, height) => {
        const rect = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
        Object.entries({class: name, x, y, width, height}).forEach(([key, value]) => rect.setAttribute(key, value));
        bars.push(rect);
      };
      for (let bin = 0; bin < BINS; bin++) {
        if (all[bin]) bar('all', bin, 0.9, 20 - 20 * all[bin] / most, 20 * all[bin] / most);
        if (some[bin]) bar('shown', bin, 0.9, 20 - 20 * some[bin] / most, 20 * some[bin] / most);
      }
      const range = state.ranges[each.name];
      if (range) bar('range', (range[0] - low) / (high - low) * BINS, (range[1] - range[0]) / (high - low) * BINS, 0, 20);
      svg.replaceChildren(...bars);
      note.textContent = range ? `${range[0].toFixed(2)} to ${range[1].toFixed(2)}` : `${low.toFixed(1)} to ${high.toFixed(1)}`;
    }
  }

  // --- one picture, or a group side by side ---

  function select(at) {
    if (!state.order.length) return;
    state.at = Math.min(state.order.length - 1, Math.max(0, at));
    const place = state.order[state.at], row = state.rows.find(each => each.places && each.places.includes(place));
    if (row && row.top < main.scrollTop) main.scrollTop = row.top - HEAD;
    if (row && row.top + row.height > main.scrollTop + main.clientHeight) main.scrollTop = row.top + row.height - main.clientHeight;
    draw();
    if (dialog.open) show();
  }

  function open() {
    if (!state.order.length) return;
    if (!dialog.open) dialog.showModal();
    show();
  }

  function show() {
    const place = state.order[state.at];
    const group = state.beside && [...state.groups.values()].find(places => places.includes(place));
    const places = group ? group.slice(0, MOST_BESIDE) : [place];
    beside.replaceChildren(...places.map(each => {
      const value = byName[state.sort] ? byName[state.sort].values[each] : NaN;
      const picture = makePicture(each, [data.links[each], small(each)]);
      return make('figure', {className: each === place ? 'selected' : ''}, picture, make('figcaption', {textContent: value === value ? value.toFixed(2) : ''}));
    }));
    const table = make('table');
    const line = (name, text) => table.append(make('tr', {}, make('td', {textContent: name}), make('td', {textContent: text})));
    for (const each of numbers) if (each.values[place] === each.values[place]) line(each.name, each.values[place].toFixed(2));
    for (const each of data.words) if (each.names[each.codes[place]]) line(each.name, each.names[each.codes[place]]);
    if (data.notes[place]) line('flags', data.notes[place]);
    facts.replaceChildren(make('p', {textContent: `${state.at + 1} of ${state.order.length}`}), make('p', {textContent: data.paths[place]}), table);
  }

  // --- keys and controls ---

  function cycle(control) {
    control.selectedIndex = (control.selectedIndex + 1) % control.options.length;
    control.dispatchEvent(new Event('change'));
  }

  function press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target === search || event.target.tagName === 'SELECT') {
      if (event.key === 'Escape' || event.key === 'Enter') { event.target.blur(); main.focus(); event.preventDefault(); }
      return;
    }
    if (event.target.tagName === 'BUTTON' && (event.key === 'Enter' || event.key === ' ')) return;
    const step = dialog.open ? 1 : state.columns;
    const keys = {
      ArrowRight: () => select(state.at + 1), ArrowLeft: () => select(state.at - 1),
      ArrowDown: () => select(state.at + step), ArrowUp: () => select(state.at - step),
      Home: () => select(0), End: () => select(state.order.length - 1),
      Enter: () => dialog.open ? dialog.close() : open(), ' ': () => dialog.open ? dialog.close() : open(),
      Escape: () => dialog.open && dialog.close(),
      s: () => cycle(sorting), r: () => find('turn').click(), g: () => cycle(grouping), '/': () => search.focus(),
      b: () => { state.beside = !dialog.open || !state.beside; open(); }, c: () => clear(),
    };
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  }

  function clear() {
    state.ranges = {};
    state.text = search.value = '';
    refilter();
  }

  for (const each of numbers) sorting.append(make('option', {value: each.name, textContent: each.name}));
  sorting.append(make('option', {value: '', textContent: 'as listed'}));
  sorting.value = state.sort;
  for (const each of data.words) grouping.append(make('option', {value: each.name, textContent: each.name}));
  grouping.value = state.group = data.group;
  sorting.addEventListener('change', () => { state.sort = sorting.value; reorder(); });
  grouping.addEventListener('change', () => { state.group = grouping.value; state.beside = Boolean(state.group); reorder(); });
  search.addEventListener('input', () => { state.text = search.value.toLowerCase(); refilter(); });
  find('turn').addEventListener('click', () => { state.down = !state.down; find('turn').textContent = state.down ? '↓' : '↑'; reorder(); });
  find('clear').addEventListener('click', clear);
  find('size').addEventListener('input', () => { arrange(); draw(); });
  main.addEventListener('scroll', () => requestAnimationFrame(draw), {passive: true});
  addEventListener('resize', () => { arrange(); draw(); });
  addEventListener('keydown', press);
  dialog.addEventListener('click', event => event.target === beside && dialog.close());
  state.beside = Boolean(state.group);
  makeHistograms();
  refilter();
  main.focus();
})();
