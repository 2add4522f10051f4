"""Top-level domains that a bare name needs to be taken for a link.

Not the whole registry: endings that are words, file types or sounds in chat ("lol.ok", "wait.so", "main.py", "you.me")
are left to links that carry a scheme, `www.` or a path. Country codes here are those that live chat really links to.
"""

from __future__ import annotations

SURE = frozenset(
    "com net org edu gov info biz xyz site online store shop club live tech space website app dev icu top vip pro fun "
    "link click blog cloud games game casino bet poker porn sex xxx cam chat bio digital agency media stream video "
    "finance money cash trade exchange market marketing promo deals sale gift gifts host press wiki lol art design "
    "studio social network systems services solutions support zone today life center academy army ninja guru rocks "
    "ru su ua by kz de fr es it pl nl be at ch cz sk hu ro bg gr pt se no fi dk uk ie eu us ca br mx ar cl co pe jp kr "
    "cn tw hk sg th vn id ph au nz za tr il ir ae in gg tv io ai gd ly cc ws fm pw ml ga cf gq tk рф бел укр".split()
)
"""Endings that make `name.ending` a link by itself."""

UNSURE = frozenset(
    "in it be is at no us by so me id pro ai art game games fun live top host info today life money cash".split()
)
"""Of those, words of running text: they need an ending path, a scheme, `www.` or a name with a digit or dash."""

WITH_PATH = SURE | frozenset(
    "me to ps py rs sh so is my id st am ms md sc mov zip page gl re la im nu cx vc one win date".split()
)
"""Endings enough once a path follows (`t.me/x`), or a scheme or `www.` comes before."""
