import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

const server = 'http://127.0.0.1:1080'

export default defineConfig({
  root: import.meta.dirname,
  // Relative: where a proxy puts the page is known only when it is served.
  base: './',
  plugins: [react()],
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2023',
    // The page's CSP has no `data:` for scripts and styles; keeping every asset a file needs no exception.
    assetsInlineLimit: 0,
  },
  // `npx vite client-demo` beside a running server, for work on the page itself.
  server: { host: '127.0.0.1', proxy: { '/api': server, '/files': server, '/dev': server } },
})
