// The API reference: Scalar over this server's OpenAPI document. Nothing is asked of any other host.
(() => {
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const reference = Scalar.createApiReference("#reference", {
    url: "/openapi.json",
    theme: "none",
    forceDarkModeState: dark() ? "dark" : "light",
    hideDarkModeToggle: true,
    hideSearch: true,
    hideClientButton: true,
    hideModels: false,
    documentDownloadType: "none",
    showDeveloperTools: "never",
    withDefaultFonts: false,
    telemetry: false,
    agent: { disabled: true },
    mcp: { disabled: true },
    operationTitleSource: "summary",
    defaultOpenAllTags: false,
    defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
    hiddenClients: ["libcurl", "clj_http", "nsurlsession", "cohttp", "httr", "webrequest", "restmethod", "httpie"],
    generateOperationSlug: (operation) => operation.operationId,
  });
  document.addEventListener("themechange", () => {
    reference.updateConfiguration({
      ...reference.getConfiguration(),
      forceDarkModeState: dark() ? "dark" : "light",
    });
  });
})();
