import pytest

from pyro_hea.materials.crystals import CrystalDataset, CrystalVocabulary, load_crystals

IDS = (
    "487 13 19 30 32 48 136 149 165 169 344 390 406 984 1138 1143 1265 1522 1639 1968 2352 "
    "2388 2534 2605 2657 2741 2998 3442 3731 4342 4651 5020 5229 5246 5777 5827 7048 7375 "
    "8883 10048 10281 10695 12581 13456 22865 23193 23289 25433 33032 34202 545512 549706 "
    "552588 554355 556003 557691 567313 568286 573697 642363 755072 755413 755559 776911 "
).split()
"""Materials Project numbers: polymorphs of oxides, sulfides, elements; the first is triclinic."""


@pytest.fixture(scope="session")
def packaged() -> CrystalDataset:
    return load_crystals()


@pytest.fixture(scope="session")
def crystals(packaged: CrystalDataset) -> CrystalDataset:
    """Seventy crystals of up to ten atoms, with polymorphs, of every crystal system."""
    return packaged.take(packaged.text.index.get_indexer([f"mp-{number}" for number in IDS]))


@pytest.fixture(scope="session")
def vocabulary(crystals: CrystalDataset) -> CrystalVocabulary:
    return CrystalVocabulary.of(crystals)
