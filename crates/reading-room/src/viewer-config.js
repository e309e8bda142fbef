// The configuration of the image viewer (OHIF 3.13). The page's address names the study and the centre; images come from our own
// DICOMweb, with the session of whoever is signed in. Everything that loads data or settings from elsewhere stays off.
window.config = (() => {
  const centre = new URLSearchParams(window.location.search).get('centre') || '';
  const root = '/dicomweb/centres/' + encodeURIComponent(centre);
  return {
    name: 'telerad',
    routerBasename: null,
    extensions: [],
    modes: [],
    customizationService: { 'ohif.tours': { $set: [] } },
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
          qidoRoot: root,
          wadoRoot: root,
          wadoUriRoot: root,
          qidoSupportsIncludeField: false,
          imageRendering: 'wadors',
          thumbnailRendering: 'wadors',
          enableStudyLazyLoad: true,
          supportsFuzzyMatching: false,
          supportsWildcard: true,
          supportsReject: false,
          dicomUploadEnabled: false,
          staticWado: false,
          singlepart: 'bulkdata,video,pdf',
          bulkDataURI: { enabled: true, relativeResolution: 'studies' },
          omitQuotationForMultipartRequest: true,
        },
      },
    ],
    // The page around the viewer shows the sign-in when the session is over, and keeps what was typed.
    httpErrorHandler: () => {},
  };
})();
