// The API reference: Scalar over this server's OpenAPI document. Nothing is asked of any other host.
(async () => {
  const document_ = await (await fetch("/openapi.json")).json();
  // An operation without a summary is called by its name, not by its path.
  for (const item of Object.values(document_.paths)) {
    for (const operation of Object.values(item)) {
      if (!operation.operationId) continue;
      const words = operation.operationId.replace(/([A-Z])/g, (letter) => ` ${letter.toLowerCase()}`);
      if (!operation.summary || operation.summary.toLowerCase() === words) {
        operation.summary = words[0].toUpperCase() + words.slice(1);
      }
    }
  }
  const dark = () => {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const reference = Scalar.createApiReference("#reference", {
    content: document_,
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
    generateWebhookSlug: (webhook) => webhook.name,
  });
  document.addEventListener("themechange", () => {
    reference.updateConfiguration({
      ...reference.getConfiguration(),
      forceDarkModeState: dark() ? "dark" : "light",
    });
  });
})();
