// Key images that the reader marks in the viewer, kept as Key Object Selection documents (PS3.3 section A.35.4, PS3.16 TID 2010), and
// those of others shown (decision 23). An extension of OHIF, which knows neither. Loaded before `viewer-config.js`, which puts it in.
window.teleradKeyImages = ({ place, stored }) => {
  const KEY_OBJECT_SELECTION = '1.2.840.10008.5.1.4.1.1.88.59';
  const EXTENSION = 'telerad.keyImages';
  const HANDLER = `${EXTENSION}.sopClassHandlerModule.documents`;
  const COMMAND = 'teleradMarkKeyImage';
  const BUTTON = 'TeleradKeyImage';
  const EVALUATE = 'evaluate.teleradKeyImage';
  const OF_INTEREST = ['113000', 'Of Interest'];
  const OBSERVER_NAME = ['121008', 'Person Observer Name'];
  const OBSERVER_LOGIN = ['128774', "Person Observer's Login Name"];
  const DESCRIPTION = ['113012', 'Key Object Description'];
  // Several marks in a row become one document. What is not saved yet is in the journal all the while.
  const SAVE_AFTER_MS = 8_000;
  const AGAIN_AFTER_MS = 15_000;
  const REQUEST_MS = 30_000;
  const IMAGES_AWAITED_MS = 30_000;
  // Behind every series of images, and behind those that the viewer numbers itself.
  const SERIES_NUMBER = 9_001;
  const JOURNAL = 'telerad.keyImages.unsaved';

  // ---- Documents: DICOM JSON, and the same by name, which is also how OHIF holds data sets.

  const ATTRIBUTES = {
    SpecificCharacterSet: ['00080005', 'CS'],
    SOPClassUID: ['00080016', 'UI'],
    SOPInstanceUID: ['00080018', 'UI'],
    ContentDate: ['00080023', 'DA'],
    ContentTime: ['00080033', 'TM'],
    Modality: ['00080060', 'CS'],
    Manufacturer: ['00080070', 'LO'],
    CodeValue: ['00080100', 'SH'],
    CodingSchemeDesignator: ['00080102', 'SH'],
    CodeMeaning: ['00080104', 'LO'],
    MappingResource: ['00080105', 'CS'],
    SeriesDescription: ['0008103E', 'LO'],
    ReferencedPerformedProcedureStepSequence: ['00081111', 'SQ'],
    ReferencedSeriesSequence: ['00081115', 'SQ'],
    ReferencedSOPClassUID: ['00081150', 'UI'],
    ReferencedSOPInstanceUID: ['00081155', 'UI'],
    ReferencedFrameNumber: ['00081160', 'IS'],
    ReferencedSOPSequence: ['00081199', 'SQ'],
    StudyInstanceUID: ['0020000D', 'UI'],
    SeriesInstanceUID: ['0020000E', 'UI'],
    SeriesNumber: ['00200011', 'IS'],
    InstanceNumber: ['00200013', 'IS'],
    RelationshipType: ['0040A010', 'CS'],
    ValueType: ['0040A040', 'CS'],
    ConceptNameCodeSequence: ['0040A043', 'SQ'],
    ContinuityOfContent: ['0040A050', 'CS'],
    PersonName: ['0040A123', 'PN'],
    TextValue: ['0040A160', 'UT'],
    ConceptCodeSequence: ['0040A168', 'SQ'],
    CurrentRequestedProcedureEvidenceSequence: ['0040A375', 'SQ'],
    PertinentOtherEvidenceSequence: ['0040A385', 'SQ'],
    ContentTemplateSequence: ['0040A504', 'SQ'],
    ContentSequence: ['0040A730', 'SQ'],
    TemplateIdentifier: ['0040DB00', 'CS'],
  };
  const NAMES = new Map(Object.entries(ATTRIBUTES).map(([name, [tag, vr]]) => [tag, { name, vr }]));
  // Of patient and study, as an image has them; those that must be there (type 2) also when they are empty there.
  const COPIED = {
    '00080020': 'DA', '00080030': 'TM', '00080050': 'SH', '00080090': 'PN', '00100010': 'PN', '00100020': 'LO', '00100030': 'DA',
    '00100040': 'CS', '00200010': 'SH',
  };
  const COPIED_IF_THERE = ['00080201', '00081030', '00100021', '00101010'];

  const list = (value) => [value ?? []].flat();

  function toJson(data) {
    const elements = Object.entries(data).map(([name, value]) => {
      const [tag, vr] = ATTRIBUTES[name];
      const form = { SQ: toJson, PN: (person) => ({ Alphabetic: person }) }[vr] ?? ((plain) => plain);
      const values = list(value).map(form);
      return [tag, values.length > 0 ? { vr, Value: values } : { vr }];
    });
    return Object.fromEntries(elements);
  }

  function fromJson(elements) {
    const known = Object.entries(elements).filter(([tag]) => NAMES.has(tag));
    return Object.fromEntries(known.map(([tag, { Value: values = [] }]) => {
      const { name, vr } = NAMES.get(tag);
      return [name, vr === 'SQ' ? values.map(fromJson) : values.length > 1 ? values : values[0]];
    }));
  }

  const textOf = (value) => {
    const first = list(value)[0];
    return String(first?.Alphabetic ?? first ?? '');
  };

  // What a document says, whoever made it.
  function read(data) {
    const content = list(data.ContentSequence);
    const named = ([code]) => content.find((item) => list(item.ConceptNameCodeSequence)[0]?.CodeValue === code);
    const title = list(data.ConceptNameCodeSequence)[0] ?? {};
    const places = new Map();
    for (const study of [...list(data.CurrentRequestedProcedureEvidenceSequence), ...list(data.PertinentOtherEvidenceSequence)]) {
      for (const series of list(study.ReferencedSeriesSequence)) {
        const of = { study: study.StudyInstanceUID, series: series.SeriesInstanceUID };
        for (const object of list(series.ReferencedSOPSequence)) places.set(object.ReferencedSOPInstanceUID, of);
      }
    }
    const images = content.filter((item) => item.ValueType === 'IMAGE').flatMap((item) => list(item.ReferencedSOPSequence));
    return {
      study: data.StudyInstanceUID,
      series: data.SeriesInstanceUID,
      sop: data.SOPInstanceUID,
      title: title.CodeValue === OF_INTEREST[0] ? 'Key images' : title.CodeMeaning || 'Key objects',
      isOfInterest: title.CodeValue === OF_INTEREST[0],
      by: textOf(named(OBSERVER_NAME)?.PersonName).replaceAll('^', ' ').trim(),
      login: textOf(named(OBSERVER_LOGIN)?.TextValue),
      at: `${textOf(data.ContentDate)}${textOf(data.ContentTime)}`,
      images: images.map((image) => ({
        ...places.get(image.ReferencedSOPInstanceUID),
        sopClass: image.ReferencedSOPClassUID,
        sop: image.ReferencedSOPInstanceUID,
        frames: list(image.ReferencedFrameNumber).map(Number),
      })),
    };
  }

  // A mark is one image: an instance, or a frame of one that has many.
  const keyOf = ({ sop, frame }) => (frame ? `${sop}/${frame}` : sop);
  const marksOf = (document) => {
    const marks = (document?.images ?? []).flatMap(({ frames, ...image }) =>
      frames.length > 0 ? frames.map((frame) => ({ ...image, frame })) : [image]);
    return new Map(marks.map((mark) => [keyOf(mark), mark]));
  };

  const newUid = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    return `2.25.${bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n)}`;
  };

  // Now, and never before the document that it follows, whatever the clocks of two machines say.
  function momentAfter(earlier) {
    const form = (date) => {
      const digits = (value, count = 2) => String(value).padStart(count, '0');
      const day = `${date.getFullYear()}${digits(date.getMonth() + 1)}${digits(date.getDate())}`;
      const time = `${digits(date.getHours())}${digits(date.getMinutes())}${digits(date.getSeconds())}`;
      return { day, time: `${time}.${digits(date.getMilliseconds(), 3)}000` };
    };
    const now = form(new Date());
    const [, ...parts] = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)\.?(\d{0,3})/.exec(earlier ?? '') ?? [];
    if (parts.length === 0 || now.day + now.time > earlier) return now;
    const [year, month, day, hour, minute, second, milli] = parts.map(Number);
    return form(new Date(year, month - 1, day, hour, minute, second, milli + 1));
  }

  const code = ([CodeValue, CodeMeaning]) => [{ CodeValue, CodingSchemeDesignator: 'DCM', CodeMeaning }];
  const item = (RelationshipType, ValueType, concept, value) =>
    ({ RelationshipType, ValueType, ...(concept && { ConceptNameCodeSequence: code(concept) }), ...value });

  // The frames of one instance stand in one item.
  function references(marks) {
    const instances = new Map();
    for (const { series, sop, sopClass, frame } of marks) {
      const known = instances.get(sop) ?? { series, sop, sopClass, frames: [] };
      if (frame) known.frames.push(frame);
      instances.set(sop, known);
    }
    const reference = ({ sop, sopClass, frames }) => ({
      ReferencedSOPClassUID: sopClass,
      ReferencedSOPInstanceUID: sop,
      ...(frames.length > 0 && { ReferencedFrameNumber: [...frames].sort((a, b) => a - b) }),
    });
    return [...instances.values()].map((instance) => ({ series: instance.series, reference: reference(instance) }));
  }

  function evidence(study, all) {
    const series = new Map(all.map((one) => [one.series, all.filter((other) => other.series === one.series)]));
    const bare = ({ ReferencedSOPClassUID, ReferencedSOPInstanceUID }) => ({ ReferencedSOPClassUID, ReferencedSOPInstanceUID });
    return [{
      StudyInstanceUID: study,
      ReferencedSeriesSequence: [...series].map(([SeriesInstanceUID, objects]) =>
        ({ SeriesInstanceUID, ReferencedSOPSequence: objects.map(({ reference }) => bare(reference)) })),
    }];
  }

  // A document of marks. A document must name something (TID 2010): that no image is marked any more is said by one that names the
  // document it takes the place of.
  function compose({ study, marks, before, who }) {
    const { day, time } = momentAfter(before?.at);
    const images = references(marks);
    const former = () => ({
      series: before.series,
      reference: { ReferencedSOPClassUID: KEY_OBJECT_SELECTION, ReferencedSOPInstanceUID: before.sop },
    });
    const named = images.length > 0 ? images : [former()];
    const said = images.length > 0 ? [] : [
      item('CONTAINS', 'TEXT', DESCRIPTION, { TextValue: 'No image is marked any more. This replaces the document that it names.' }),
    ];
    return {
      SpecificCharacterSet: 'ISO_IR 192',
      SOPClassUID: KEY_OBJECT_SELECTION,
      SOPInstanceUID: newUid(),
      ContentDate: day,
      ContentTime: time,
      Modality: 'KO',
      Manufacturer: 'telerad',
      SeriesDescription: 'Key images',
      ReferencedPerformedProcedureStepSequence: [],
      StudyInstanceUID: study,
      SeriesInstanceUID: newUid(),
      SeriesNumber: SERIES_NUMBER,
      InstanceNumber: 1,
      ValueType: 'CONTAINER',
      ConceptNameCodeSequence: code(OF_INTEREST),
      ContinuityOfContent: 'SEPARATE',
      CurrentRequestedProcedureEvidenceSequence: evidence(study, named),
      ContentTemplateSequence: [{ MappingResource: 'DCMR', TemplateIdentifier: '2010' }],
      ContentSequence: [
        item('HAS OBS CONTEXT', 'CODE', ['121005', 'Observer Type'], { ConceptCodeSequence: code(['121006', 'Person']) }),
        item('HAS OBS CONTEXT', 'PNAME', OBSERVER_NAME, { PersonName: who.name.replace(/[\\^=]/g, ' ').slice(0, 64) }),
        item('HAS OBS CONTEXT', 'TEXT', OBSERVER_LOGIN, { TextValue: who.login }),
        ...said,
        ...named.map(({ reference }) =>
          item('CONTAINS', images.length > 0 ? 'IMAGE' : 'COMPOSITE', null, { ReferencedSOPSequence: [reference] })),
      ],
    };
  }

  // ---- The service.

  async function ask(address, { headers, ...others } = {}) {
    const signal = AbortSignal.timeout(REQUEST_MS);
    const answer = await fetch(address, {
      headers: { Accept: 'application/dicom+json', ...headers }, credentials: 'same-origin', cache: 'no-store', signal, ...others,
    });
    if (answer.status === 401) throw new Error('you are signed out');
    if (answer.status === 403) throw new Error('you may not store into this study');
    if (answer.status === 204) return [];
    if (answer.status !== 200) throw new Error(`the service answered ${answer.status}`);
    return answer.json();
  }

  const whoAmI = async () =>
    (await ask('/api/v1/session', { headers: { Accept: 'application/json', 'X-Telerad-Background': '1' } })).person;

  async function store(root, data, image) {
    const [like] = await ask(`${root}/studies/${data.StudyInstanceUID}/series/${image.series}/instances/${image.sop}/metadata`);
    const copied = Object.entries(COPIED).map(([tag, vr]) => [tag, like[tag] ?? { vr }]);
    const also = COPIED_IF_THERE.filter((tag) => like[tag]).map((tag) => [tag, like[tag]]);
    const text = JSON.stringify([{ ...Object.fromEntries([...copied, ...also]), ...toJson(data) }]);
    const boundary = `key-images-${data.SOPInstanceUID}`;
    await ask(`${root}/studies/${data.StudyInstanceUID}`, {
      method: 'POST',
      headers: { 'Content-Type': `multipart/related; type="application/dicom+json"; boundary=${boundary}` },
      body: `--${boundary}\r\nContent-Type: application/dicom+json\r\n\r\n${text}\r\n--${boundary}--\r\n`,
    });
  }

  // ---- What is not saved yet. It stays on the machine until the service has it, also when the page is loaded anew. UIDs alone.

  const journal = {
    read: () => {
      try {
        return JSON.parse(localStorage.getItem(JOURNAL) ?? '[]');
      } catch {
        return [];
      }
    },
    write({ root, study, login }, changes) {
      const others = journal.read().filter((one) => one.root !== root || one.study !== study || one.login !== login);
      const mine = changes.size > 0 ? [{ root, study, login, changes: [...changes] }] : [];
      try {
        localStorage.setItem(JOURNAL, JSON.stringify([...others, ...mine]));
      } catch {
        // A browser that keeps nothing: what is marked is then only in this page, which says whether it is saved.
      }
    },
  };

  // ---- The reader's marks of one study.

  class Marks {
    /** The reader's own documents, the newest last. */
    documents = [];
    /** What was toggled since the newest of them. */
    changes = new Map();
    known = new Set();
    who = null;
    state = 'loading';
    why = '';
    timer = null;
    composed = null;

    constructor({ root, study }, tell) {
      Object.assign(this, { root, study, tell });
      this.began = this.begin();
    }

    get base() {
      return marksOf(this.documents.at(-1));
    }

    get all() {
      const marks = this.base;
      for (const [key, { mark, isOn }] of this.changes) {
        if (isOn) marks.set(key, mark);
        else marks.delete(key);
      }
      return marks;
    }

    get isDirty() {
      const { base } = this;
      return [...this.changes].some(([key, { isOn }]) => isOn !== base.has(key));
    }

    is({ root, study }) {
      return root === this.root && study === this.study;
    }

    get mayMark() {
      return this.who !== null && this.who.role !== 'centre';
    }

    async begin() {
      try {
        this.who = await whoAmI();
        const kept = journal.read().find((one) => this.is(one) && one.login === this.who.login);
        if (kept) this.changes = new Map(kept.changes);
        await this.learn();
        this.state = 'saved';
        if (this.isDirty) void this.save();
      } catch (error) {
        this.failed(error);
      }
      this.tell();
    }

    // Documents that came since, from another window or machine of the same reader too.
    async learn() {
      const series = await ask(`${this.root}/studies/${this.study}/series?Modality=KO`);
      const uids = series.map((one) => one[ATTRIBUTES.SeriesInstanceUID[0]].Value[0]).filter((uid) => !this.known.has(uid));
      const found = await Promise.all(uids.map((uid) => ask(`${this.root}/studies/${this.study}/series/${uid}/metadata`)));
      uids.forEach((uid) => this.known.add(uid));
      for (const data of found.flat().map(fromJson)) {
        // The service had it, and its answer was lost.
        if (data.SOPInstanceUID === this.composed?.data.SOPInstanceUID) this.isStored(this.composed.data);
        else if (data.SOPClassUID === KEY_OBJECT_SELECTION) this.take(read(data));
      }
    }

    isStored(data) {
      this.known.add(data.SeriesInstanceUID);
      this.take(read(data));
      stored(this.study);
      if (current === this) showDocument(data);
    }

    take(document) {
      if (!document.isOfInterest || document.login === '' || document.login !== this.who.login) return;
      this.documents.push(document);
      this.documents.sort((a, b) => (a.at < b.at ? -1 : 1));
    }

    toggle(mark) {
      const key = keyOf(mark);
      this.changes.set(key, { mark, isOn: !this.all.has(key) });
      this.note();
      this.later(SAVE_AFTER_MS);
      this.tell();
    }

    note() {
      journal.write({ root: this.root, study: this.study, login: this.who.login }, this.isDirty ? this.changes : new Map());
    }

    later(ms) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.save(), ms);
    }

    failed(error) {
      this.state = 'failed';
      this.why = error.name === 'TypeError' || error.name === 'TimeoutError' ? 'the service does not answer' : error.message;
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void (this.who ? this.save() : (this.began = this.begin())), AGAIN_AFTER_MS);
    }

    async save() {
      clearTimeout(this.timer);
      if (this.state === 'saving' || this.who === null) return;
      this.state = 'saving';
      this.tell();
      try {
        await this.learn();
        if (this.isDirty) await this.storeAll();
        this.state = 'saved';
        if (this.isDirty) this.later(SAVE_AFTER_MS);
        else this.changes.clear();
        this.note();
      } catch (error) {
        this.failed(error);
      }
      this.tell();
    }

    async storeAll() {
      const marks = [...this.all.values()];
      const before = this.documents.at(-1);
      const what = [before?.sop, ...this.all.keys()].join(' ');
      // Tried again it is the same document: the service may have it although its answer was lost.
      if (this.composed?.what !== what) this.composed = { what, data: compose({ study: this.study, marks, before, who: this.who }) };
      const { data } = this.composed;
      await store(this.root, data, marks[0] ?? before.images[0]);
      this.isStored(data);
    }
  }

  let services = null;
  let current = null;
  const left = new Set();

  function enter() {
    leave();
    const at = place();
    current = [...left].find((marks) => marks.is(at)) ?? new Marks(at, tell);
    left.delete(current);
  }

  // Left while something is not saved: it is saved all the same.
  function leave() {
    if (current?.isDirty || current?.state === 'saving') {
      left.add(current);
      void current.save();
    }
    current = null;
  }

  // What an earlier page did not get saved.
  function resume() {
    for (const one of journal.read()) if (![...left].some((marks) => marks.is(one))) left.add(new Marks(one, tell));
  }

  function tell() {
    for (const marks of left) if (marks.state === 'saved' && !marks.isDirty) left.delete(marks);
    const isUnsaved = (marks) => marks.isDirty || (marks.who === null && left.has(marks));
    const failed = [current, ...left].filter((marks) => marks?.state === 'failed' && isUnsaved(marks));
    window.dispatchEvent(new CustomEvent('telerad-key-images', { detail: { unsaved: failed[0]?.why ?? null } }));
    if (current) refresh();
  }

  // ---- The image on screen, its sign, the button.

  const viewportOf = (id) => services.cornerstoneViewportService.getCornerstoneViewport(id);
  const activeId = () => services.viewportGridService.getActiveViewportId();

  // Only images as they were acquired: what is computed from many is none that a document could name.
  function imageOf(viewport) {
    const address = viewport?.type === 'stack' ? viewport.getCurrentImageId?.() : null;
    const uids = /\/studies\/([0-9.]+)\/series\/([0-9.]+)\/instances\/([0-9.]+)\/frames\/(\d+)/.exec(address ?? '');
    if (!uids) return null;
    const [, study, series, sop, frame] = uids;
    const set = services.displaySetService.getDisplaySetForSOPInstanceUID(sop, series);
    const instance = set?.instances.find(({ SOPInstanceUID }) => SOPInstanceUID === sop);
    if (!instance) return null;
    const isOneOfMany = Number(instance.NumberOfFrames) > 1;
    return { study, series, sop, sopClass: instance.SOPClassUID, ...(isOneOfMany && { frame: Number(frame) }) };
  }

  const isMarked = (image) => image !== null && current?.study === image.study && current.all.has(keyOf(image));

  function whyNot(image) {
    if (current === null || current.who === null) return 'The key images of this study are being asked for.';
    if (!current.mayMark) return 'Only readers mark key images.';
    if (image === null) return 'Only images as they were acquired can be marked, in a pane that shows one.';
    if (image.study !== current.study) return 'This image is of an earlier study. Only images of the study that is read can be marked.';
    return null;
  }

  function toggle() {
    const image = imageOf(viewportOf(activeId()));
    const reason = whyNot(image);
    if (reason === null) current.toggle(image);
    else services.uiNotificationService.show({ title: 'Key images', message: reason, type: 'warning', duration: 5_000 });
  }

  function buttonLabel() {
    const count = current?.all.size ?? 0;
    if (current?.state === 'failed' && (current.isDirty || current.who === null)) return 'Key images NOT SAVED';
    if (count === 0 && !current?.isDirty) return 'Mark key image';
    const images = count === 1 ? '1 key image' : `${count} key images`;
    return current.isDirty ? `${images}, saving` : `${images}, saved`;
  }

  function buttonState() {
    const image = imageOf(viewportOf(activeId()));
    const reason = whyNot(image);
    const label = buttonLabel();
    const kind = label.endsWith('SAVED') ? 'failed' : label.endsWith('saving') ? 'saving' : 'saved';
    return {
      disabled: reason !== null,
      disabledText: reason ?? undefined,
      isToggled: isMarked(image),
      label,
      tooltip: kind === 'failed'
        ? `They are kept on this machine and tried again, since ${current.why}.`
        : `${isMarked(image) ? 'Takes the mark of this image away' : 'Marks this image as key image'}. Key: K. Saved by itself.`,
      className: `telerad-key-button telerad-key-${kind}`,
    };
  }

  function paint(id) {
    const viewport = viewportOf(id);
    if (!viewport?.element) return;
    const known = viewport.element.querySelector(':scope > .telerad-key-sign');
    if (!isMarked(imageOf(viewport))) return known?.remove();
    if (known) return;
    const sign = document.createElement('div');
    sign.className = 'telerad-key-sign';
    sign.textContent = '★ KEY';
    sign.title = 'You marked this image as key image';
    viewport.element.append(sign);
  }

  let shown = '';
  function refreshButton() {
    const now = JSON.stringify(buttonState());
    if (now === shown) return;
    shown = now;
    services.toolbarService.refreshToolbarState({ viewportId: activeId() });
  }

  function refresh() {
    for (const id of services.viewportGridService.getState().viewports.keys()) paint(id);
    refreshButton();
  }

  // An image came on screen. The events do not rise, but are seen on their way down.
  for (const name of ['CORNERSTONE_STACK_NEW_IMAGE', 'CORNERSTONE_IMAGE_RENDERED']) {
    window.addEventListener(name, ({ detail }) => {
      if (!services || !current) return;
      paint(detail.viewportId);
      if (detail.viewportId === activeId()) refreshButton();
    }, true);
  }

  const STYLE = `
    .telerad-key-sign { position: absolute; top: 30px; left: 50%; transform: translateX(-50%); z-index: 5; padding: 2px 8px;
      border-radius: 4px; background: #000c; color: #ffd75e; font: 600 14px/1.3 Inter, sans-serif; letter-spacing: 0.04em;
      pointer-events: none; white-space: nowrap; }
    [data-cy=${BUTTON}] button { width: 192px !important; justify-content: flex-start !important; padding: 0 8px; gap: 6px;
      font: 500 13px/1 Inter, sans-serif; white-space: nowrap; }
    [data-cy=${BUTTON}] button svg { display: none; }
    [data-cy=${BUTTON}] button::before { content: '☆'; font-size: 20px; }
    [data-cy=${BUTTON}] button::after { content: attr(aria-label); }
    [data-cy=${BUTTON}][data-toggled=true] button::before { content: '★'; color: #ffd75e; }
    [data-cy=${BUTTON}] button.telerad-key-saving { color: #ffd75e; }
    [data-cy=${BUTTON}] button.telerad-key-failed { color: #fff; background: #a3231f !important; opacity: 1; }
  `;

  // ---- Documents in the list of series, shown as a stack of the images that they name.

  const sets = new Map();

  const dateOf = (at) => {
    const [, year, month, day, hour, minute] = /^(\d{4})(\d\d)(\d\d)(\d\d)?(\d\d)?/.exec(at) ?? [];
    if (!year) return '';
    const date = new Date(Number(year), Number(month) - 1, Number(day));
    const written = date.toLocaleDateString('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });
    return minute ? `${written} ${hour}:${minute}` : written;
  };

  function instanceOf({ sop, series }) {
    const set = services.displaySetService.getDisplaySetForSOPInstanceUID(sop, series);
    return set?.instances.find(({ SOPInstanceUID }) => SOPInstanceUID === sop) ?? null;
  }

  // Takes those of its images that are there by now; true once all are.
  function fill(set, dataSource) {
    const images = set.document.images.map((image) => ({ image, instance: instanceOf(image) }));
    const here = images.filter(({ instance }) => instance !== null);
    set.images = here.map(({ instance }) => instance);
    set.imageIds = here.flatMap(({ image, instance }) => {
      const frames = Number(instance.NumberOfFrames) > 1 ? Number(instance.NumberOfFrames) : 0;
      const wanted = image.frames.length > 0 ? image.frames : Array.from({ length: frames }, (_, index) => index + 1);
      if (frames === 0) return [dataSource.getImageIdsForInstance({ instance })];
      return wanted.map((frame) => dataSource.getImageIdsForInstance({ instance, frame }));
    });
    // A text, since a number would let the viewer hang these before the images themselves.
    set.numImageFrames = String(set.imageIds.length || set.document.images.length);
    const [first] = here;
    if (first && !set.thumbnailSrc) {
      const { study, series, sop, frames } = first.image;
      const frame = frames.length > 0 ? `/frames/${frames[0]}` : '';
      set.thumbnailSrc = `${place().root}/studies/${study}/series/${series}/instances/${sop}${frame}/thumbnail`;
    }
    return here.length === images.length;
  }

  // Before it is shown: its images may still be on their way.
  async function load(set, dataSource) {
    const end = Date.now() + IMAGES_AWAITED_MS;
    while (!fill(set, dataSource) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 200));
    if (set.imageIds.length === 0) throw new Error('None of the images that this document names is here.');
    services.cornerstoneCacheService.stackImageIds.set(set.displaySetInstanceUID, set.imageIds);
  }

  // Of a reader's own documents the newest counts. One without images is not listed.
  function settle() {
    const all = [...sets.values()];
    for (const set of all) {
      const { login, study, at, images } = set.document;
      const isLater = ({ document }) => document.login === login && document.study === study && document.at > at;
      const isOld = login !== '' && all.some(isLater);
      set.excludeFromThumbnailBrowser = isOld || images.length === 0;
    }
  }

  function displaySetOf(instance, dataSource) {
    const document = read(instance);
    const label = [document.title, document.by, dateOf(document.at)].filter((part) => part !== '').join(', ');
    const set = {
      document,
      displaySetInstanceUID: newUid(),
      Modality: 'KO',
      SeriesDescription: label,
      SeriesNumber: instance.SeriesNumber,
      SeriesDate: instance.SeriesDate ?? instance.ContentDate,
      SOPInstanceUID: instance.SOPInstanceUID,
      SeriesInstanceUID: instance.SeriesInstanceUID,
      StudyInstanceUID: instance.StudyInstanceUID,
      SOPClassUID: KEY_OBJECT_SELECTION,
      SOPClassHandlerId: HANDLER,
      instances: [instance],
      instance,
      isCompositeStack: true,
      isReconstructable: false,
      supportsWindowLevel: true,
      label,
    };
    set.load = () => load(set, dataSource);
    fill(set, dataSource);
    sets.set(set.displaySetInstanceUID, set);
    settle();
    return set;
  }

  // A document that was just saved stands in the list without being asked for. The viewer compares the patients of all that it shows.
  function showDocument(data) {
    const sets = services.displaySetService.activeDisplaySets;
    const like = sets.find(({ StudyInstanceUID }) => StudyInstanceUID === data.StudyInstanceUID)?.instances?.[0] ?? {};
    const { PatientID, PatientName, PatientSex, PatientBirthDate, StudyDate, StudyTime, StudyDescription } = like;
    const patient = { PatientID, PatientName, PatientSex, PatientBirthDate, StudyDate, StudyTime, StudyDescription };
    services.displaySetService.makeDisplaySets([{ ...patient, ...data }]);
  }

  // Images came: documents may name them.
  function fillAll(dataSource) {
    for (const set of sets.values()) {
      const before = set.thumbnailSrc;
      fill(set, dataSource);
      if (set.thumbnailSrc !== before) services.displaySetService.setDisplaySetMetadataInvalidated(set.displaySetInstanceUID, false);
    }
  }

  let subscriptions = [];
  const extension = {
    id: EXTENSION,
    preRegistration({ servicesManager }) {
      services = servicesManager.services;
      const style = document.createElement('style');
      style.textContent = STYLE;
      document.head.append(style);
      document.addEventListener('visibilitychange', () => {
        if (document.visibilityState === 'hidden' && current?.isDirty) void current.save();
      });
      resume();
    },
    onModeEnter({ extensionManager }) {
      enter();
      const { displaySetService, viewportGridService } = services;
      const source = () => extensionManager.getActiveDataSource()[0];
      subscriptions = [
        displaySetService.subscribe(displaySetService.EVENTS.DISPLAY_SETS_ADDED, () => fillAll(source())),
        viewportGridService.subscribe(viewportGridService.EVENTS.ACTIVE_VIEWPORT_ID_CHANGED, refresh),
      ];
    },
    onModeExit() {
      leave();
      sets.clear();
      subscriptions.forEach((one) => one.unsubscribe());
      subscriptions = [];
    },
    getSopClassHandlerModule: ({ extensionManager }) => [
      {
        name: 'documents',
        sopClassUids: [KEY_OBJECT_SELECTION],
        getDisplaySetsFromSeries: (instances) =>
          instances.map((instance) => displaySetOf(instance, extensionManager.getActiveDataSource()[0])),
      },
    ],
    getToolbarModule: () => [{ name: EVALUATE, evaluate: buttonState }],
    getCommandsModule: () => ({ definitions: { [COMMAND]: { commandFn: toggle } }, defaultContext: 'DEFAULT' }),
  };

  return {
    extension,
    // Saves at once what was marked; for the page around the viewer.
    save: () => current?.isDirty && current.save(),
    customizations: {
      'cornerstone.toolbarButtons': {
        $push: [
          {
            id: BUTTON,
            uiType: 'ohif.toolButton',
            props: { icon: 'Pin', label: 'Mark key image', commands: COMMAND, evaluate: EVALUATE },
          },
        ],
      },
      'cornerstone.toolbarSections': { primary: { $splice: [[6, 0, BUTTON]] } },
      'ohif.hotkeyBindings': { $push: [{ commandName: COMMAND, label: 'Mark as key image', keys: ['k'], isEditable: true }] },
    },
    // For OHIF's mode: the handler, and the pane that shows what it makes.
    mode: {
      sopClassHandlers: { $push: [HANDLER] },
      routes: { 0: { layoutInstance: { props: { viewports: { 0: { displaySetsToDisplay: { $push: [HANDLER] } } } } } } },
    },
  };
};
