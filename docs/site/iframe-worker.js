// Browsers start no worker for a page that is opened from the disk (file:). The search then runs in a hidden frame,
// which offers the same few names: postMessage, addEventListener, importScripts.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const scope = (this.scope = frame.contentWindow);
      const load = (address) =>
        new Promise((resolve, reject) => {
          const script = scope.document.createElement("script");
          script.src = address;
          script.onload = resolve;
          script.onerror = () => reject(new Error(`${address} cannot be read`));
          scope.document.body.append(script);
        });
      scope.importScripts = (...addresses) =>
        addresses.reduce((before, address) => before.then(() => load(address)), Promise.resolve());
      scope.postMessage = (data) => this.deliver(this, data);
      this.loaded = load(new URL(url, location.href).href);
    }
    deliver(receiver, data) {
      const message = new MessageEvent("message", { data });
      receiver.dispatchEvent(message);
      if (typeof receiver.onmessage === "function") receiver.onmessage(message);
    }
    postMessage(data) {
      this.loaded.then(() => this.deliver(this.scope, data));
    }
    terminate() {
      this.scope.frameElement.remove();
    }
  };
}
