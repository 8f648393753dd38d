const playlistType = 'application/vnd.apple.mpegurl'

/**
 * Plays an HLS playlist in a video element, by hls.js where the browser lets scripts feed a player, else by the
 * browser itself. Returns what ends it; `onFailed` is told when it cannot go on.
 */
export function playHls(video: HTMLVideoElement, address: string, onFailed: () => void): () => void {
  let isOver = false
  let release = () => {}

  async function start(): Promise<void> {
    // Only who watches a stream loads what it takes: it is more than half of the rest of the page.
    const { default: Hls } = await import('hls.js/light')
    if (isOver) return
    if (Hls.isSupported()) {
      // Without the worker, which is made of a blob, the page's CSP needs no exception; there is little to do for
      // it, as the pieces are of the kind that browsers take.
      const hls = new Hls({ enableWorker: false, capLevelToPlayerSize: true })
      release = () => hls.destroy()
      hls.on(Hls.Events.ERROR, (_event, { fatal }) => {
        if (fatal) onFailed()
      })
      hls.loadSource(address)
      hls.attachMedia(video)
    } else if (video.canPlayType(playlistType) !== '') {
      release = () => video.removeAttribute('src')
      video.src = address
    } else onFailed()
  }
  start().catch(() => {
    // The script did not come.
    if (!isOver) onFailed()
  })

  return () => {
    isOver = true
    release()
  }
}
