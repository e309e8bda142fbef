// The configuration of the image viewer (OHIF 3.13), and what the reading room needs to keep it warm. The page's address names the study
// and the centre; images come from our own DICOMweb, with the session of whoever is signed in. Everything that loads data or settings
// from elsewhere stays off.
(() => {
  const JSON_TYPE = 'application/dicom+json';
  // What is stored compressed comes as it is stored, plain samples as JPEG-LS Lossless, and what is neither as it is stored. One text:
  // caches keep an answer by the whole header.
  const FRAME_TYPES = [
    'multipart/related; type="image/*"; transfer-syntax=*',
    'multipart/related; type=image/jls; transfer-syntax=1.2.840.10008.1.2.4.80',
    'multipart/related; type=application/octet-stream; transfer-syntax=*',
  ].join(', ');
  // Where the viewer waits while no study is open. No file and no page of the service; only the viewer's own router ever sees it.
  const IDLE = '/viewer/idle';
  // The parts of OHIF that reading here uses. The others (whole slides, PET tumour volumes, 4D, pleura lines) are not even loaded.
  const MODES = ['@ohif/mode-longitudinal'];
  const EXTENSIONS = ['@ohif/extension-default', '@ohif/extension-cornerstone'];

  // What OHIF loads only when a study is opened.
  const OPENING = ['measurement-tracking', 'cornerstone-dicom-sr', 'cornerstone-dicom-seg', 'cornerstone-dicom-pmap',
    'cornerstone-dicom-rt', 'dicom-pdf', 'dicom-video'].map((name) => `@ohif/extension-${name}`);

  const rootOf = (query) => '/dicomweb/centres/' + encodeURIComponent(query.get('centre') || '');

  // Runs in a worker: asks, while the viewer still starts, for what it is going to ask for, in the same words, so that the answers are in
  // the browser's cache by then. Nothing depends on it: what fails here is asked for again by the viewer.
  async function fetchAhead({ root, study, jsonType, frameTypes }) {
    // Read to its end: a cache keeps no half of an answer.
    const ask = async (path, accept) => {
      const answer = await fetch(root + path, { headers: { Accept: accept }, credentials: 'same-origin' });
      return answer.arrayBuffer();
    };
    const askJson = async (path) => JSON.parse(new TextDecoder().decode(await ask(path, jsonType)));
    const value = (item, tag) => item[tag]?.Value?.[0];
    const topmost = (list) => {
      const [x, y, z, u, v, w] = list[0]?.['00200037']?.Value ?? [];
      const normal = [y * w - z * v, z * u - x * w, x * v - y * u];
      const height = (one) => one['00200032']?.Value?.reduce((sum, at, axis) => sum + at * normal[axis], 0);
      const number = (one) => -Number(value(one, '00200013') ?? 0);
      const key = list.every((one) => Number.isFinite(height(one))) ? height : number;
      return list.reduce((best, one) => (best === null || key(one) > key(best) ? one : best), null);
    };
    const query = 'limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C00100030';
    const known = ask(`/studies?${query}&StudyInstanceUID=${study}`, jsonType);
    const of = `/studies/${study}/series`;
    const found = await askJson(`${of}?includefield=00080021%2C00080031%2C0008103E%2C00200011`);
    // The viewer opens the series of the lowest number; reports and the like come last.
    const others = ['SR', 'SEG', 'RTSTRUCT', 'RTPLAN', 'PR', 'KO', 'DOC', 'OT'];
    const rank = (one) => (others.includes(value(one, '00080060')) ? Infinity : Number(value(one, '00200011') ?? 0));
    const [first] = found.sort((a, b) => rank(a) - rank(b));
    if (!first || rank(first) === Infinity) return;
    const series = `${of}/${value(first, '0020000E')}`;
    const image = topmost(await askJson(`${series}/metadata`));
    if (image) await ask(`${series}/instances/${value(image, '00080018')}/frames/1`, frameTypes);
    await known;
  }

  function prefetch(query) {
    const [study] = studiesOf(query);
    if (!/^[0-9.]{1,64}$/.test(study)) return;
    const root = window.location.origin + rootOf(query);
    const task = { root, study, jsonType: JSON_TYPE, frameTypes: FRAME_TYPES };
    const code = `(${fetchAhead})(${JSON.stringify(task)}).catch(() => {}).finally(() => close())`;
    const address = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
    new Worker(address).addEventListener('error', (event) => event.preventDefault());
    URL.revokeObjectURL(address);
  }

  // Goes to another place of the viewer without loading it again, and without a new entry in the browser's history.
  function go(address) {
    window.history.replaceState(null, '', address);
    window.dispatchEvent(new PopStateEvent('popstate', { state: null }));
  }

  const keyImages = window.teleradKeyImages({
    place: () => ({ root: rootOf(new URLSearchParams(window.location.search)), study: studyOnScreen() }),
    stored: (study) => stored(study),
  });

  const studiesOf = (query) => (query.get('StudyInstanceUIDs') || '').split(',');
  // Whether the viewer is done with opening the last study. One that is left before is not safe to go on with: what still comes of the
  // last study would land in the next one.
  let isSettled = true;
  // The studies of the address, where they were opened without loading the viewer again.
  let opened = null;

  // For the page around the viewer, which is of the same origin.
  window.telerad = {
    // Whether another study may be opened without loading the viewer again: nothing of the last one is left.
    isIdle: () =>
      isSettled && window.location.pathname === IDLE && !window.services?.displaySetService.activeDisplaySets.length,
    open(address) {
      const query = new URL(address, window.location.origin).searchParams;
      isSettled = false;
      opened = studiesOf(query);
      prefetch(query);
      go(address);
    },
    idle: () => go(IDLE),
    saveKeyImages: () => keyImages.save(),
  };

  const studyOnScreen = () => studiesOf(new URLSearchParams(window.location.search))[0];
  // Tells the page around the viewer that an object was stored into the study on screen.
  const stored = (study) => {
    if (study === studyOnScreen()) window.dispatchEvent(new Event('telerad-stored'));
  };

  // Measurements, a segmentation: the viewer itself says nothing of them. It shows what it made before it stores it, and what is only
  // downloaded too.
  const { open } = XMLHttpRequest.prototype;
  XMLHttpRequest.prototype.open = function (method, address, ...others) {
    if (/^post$/i.test(method) && String(address).endsWith('/studies')) {
      this.addEventListener('load', () => {
        const study = studyOnScreen();
        if (this.status === 200 && this.responseText.includes(`/studies/${study}/`)) stored(study);
      });
    }
    return open.call(this, method, address, ...others);
  };

  // What belongs to another patient never stays beside the study that was opened: the viewer is loaded anew, and then knows nothing else.
  function watch({ displaySetsAdded }) {
    const patientOf = (set) => (set.instances?.[0] ?? set.images?.[0] ?? set.instance)?.PatientID;
    const sets = window.services.displaySetService.activeDisplaySets;
    const ours = sets.filter((set) => opened?.includes(set.StudyInstanceUID)).map(patientOf);
    const isForeign = (set) => !opened.includes(set.StudyInstanceUID) && !ours.includes(patientOf(set));
    if (opened && displaySetsAdded.some(isForeign)) window.location.reload();
  }

  // The new images on the left, the prior's on the right.
  const PRIOR_BESIDE = 'telerad.priorBeside';
  function priorBeside() {
    const series = [{ attribute: 'numImageFrames', weight: 10, required: true, constraint: { greaterThan: { value: 0 } } }];
    const study = (index) => [
      { attribute: 'studyInstanceUIDsIndex', from: 'options', required: true, constraint: { equals: { value: index } } },
    ];
    const viewportOptions = { viewportType: 'stack', toolGroupId: 'default', allowUnmatchedView: true };
    const viewport = (id) => ({ viewportOptions, displaySets: [{ id }] });
    return {
      id: PRIOR_BESIDE,
      name: 'Prior beside',
      description: 'New images left, prior right',
      numberOfPriorsReferenced: 1,
      protocolMatchingRules: [],
      toolGroupIds: ['default'],
      displaySetSelectors: {
        now: { studyMatchingRules: study(0), seriesMatchingRules: series },
        prior: { studyMatchingRules: study(1), seriesMatchingRules: series },
      },
      defaultViewport: { viewportOptions, displaySets: [{ id: 'now', matchedDisplaySetsIndex: -1 }] },
      stages: [
        {
          name: 'Prior beside',
          viewportStructure: { layoutType: 'grid', properties: { rows: 1, columns: 2 } },
          viewports: [viewport('now'), viewport('prior')],
        },
      ],
    };
  }

  // Once, when the viewer's services are there.
  let isPrepared = false;
  function prepare() {
    if (isPrepared) return;
    isPrepared = true;
    const { displaySetService, hangingProtocolService } = window.services;
    displaySetService.subscribe(displaySetService.EVENTS.DISPLAY_SETS_ADDED, watch);
    hangingProtocolService.addProtocol(PRIOR_BESIDE, priorBeside());
  }

  const isPrior = (instance) => {
    const [first, ...others] = studiesOf(new URLSearchParams(window.location.search));
    return others.length > 0 && instance !== undefined && instance.StudyInstanceUID !== first;
  };

  // The tools keep a browser from moving the focus on a click into an image, so that keys would go to the page around the viewer.
  window.addEventListener('pointerdown', () => window.focus(), true);

  const query = new URLSearchParams(window.location.search);
  if (query.has('StudyInstanceUIDs')) {
    isSettled = false;
    prefetch(query);
  } else {
    window.history.replaceState(null, '', IDLE);
  }

  window.config = async ({ peerImport }) => {
    window.modes.splice(0, window.modes.length, ...MODES);
    window.extensions.splice(0, window.extensions.length, ...EXTENSIONS);
    // While it waits, what the first study would load.
    if (window.location.pathname === IDLE) OPENING.forEach((extension) => void peerImport(extension).catch(() => {}));
    return {
      name: 'telerad',
      extensions: [keyImages.extension],
      modes: [],
      customizationService: {
        'ohif.tours': { $set: [] },
        ...keyImages.customizations,
        'viewportOverlay.topLeft': {
          $unshift: [
            {
              id: 'Prior',
              inheritsFrom: 'ohif.overlayItem',
              label: '',
              title: 'An earlier study',
              color: '#e3b15a',
              condition: ({ referenceInstance }) => isPrior(referenceInstance),
              contentF: () => 'PRIOR',
            },
          ],
        },
        'routes.customRoutes': { routes: { $push: [{ path: IDLE, children: () => null }] } },
      },
      modesConfiguration: {
        [MODES[0]]: {
          ...keyImages.mode,
          onSetupRouteComplete: {
            $set: () => {
              isSettled = true;
            },
          },
        },
      },
      showStudyList: false,
      maxNumberOfWebWorkers: 3,
      showWarningMessageForCrossOrigin: false,
      showCPUFallbackMessage: true,
      showLoadingIndicator: true,
      experimentalStudyBrowserSort: false,
      strictZSpacingForVolumeViewport: true,
      groupEnabledModesFirst: true,
      allowMultiSelectExport: false,
      investigationalUseDialog: { option: 'never' },
      maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
      showErrorDetails: 'production',
      defaultDataSourceName: 'telerad',
      dataSources: [
        {
          namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
          sourceName: 'telerad',
          configuration: {
            friendlyName: 'telerad',
            name: 'telerad',
            qidoSupportsIncludeField: false,
            imageRendering: 'wadors',
            thumbnailRendering: 'thumbnail',
            thumbnailRequestStrategy: 'fetch',
            enableStudyLazyLoad: true,
            supportsFuzzyMatching: false,
            supportsWildcard: true,
            supportsReject: false,
            dicomUploadEnabled: false,
            staticWado: false,
            // PDF is fetched as bulk data and shown from memory; films are asked for as they are rendered.
            singlepart: 'video',
            bulkDataURI: { enabled: true, relativeResolution: 'studies' },
            acceptHeader: [FRAME_TYPES],
            // Before each study, since the next one may be of another centre. The viewer remembers by the name what it has asked for.
            onConfiguration: (configuration, { query: of }) => {
              prepare();
              const root = rootOf(of);
              return { ...configuration, name: root, qidoRoot: root, wadoRoot: root, wadoUriRoot: root };
            },
          },
        },
      ],
      // The page around the viewer shows the sign-in when the session is over, and keeps what was typed.
      httpErrorHandler: () => {},
    };
  };
})();
